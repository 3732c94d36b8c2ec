#include "named_inputs.hpp"

#include <charconv>
#include <optional>
#include <set>

#include "arguments.hpp"
#include "npy_file.hpp"

namespace {

// The number that the whole word is, if it is one.
std::optional<double> as_number(std::string_view word) {
  if (word.starts_with('+') && !word.starts_with("+-")) word.remove_prefix(1);
  double number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return number;
}

std::string text_of(const std::vector<std::size_t>& shape) {
  std::string text;
  for (const std::size_t side : shape) text += (text.empty() ? "" : ", ") + std::to_string(side);
  return "[" + text + "]";
}

// Throws UsageError unless an array is a number, one entry or several of the input.
void check_shape(const ddpm_rt_input& input, const std::vector<std::size_t>& shape) {
  const std::vector<std::size_t> entry(input.shape, input.shape + input.rank);
  const bool is_number = shape.empty();
  const bool is_list = shape.size() == entry.size() + 1 && shape[0] > 0 &&
                       std::vector(shape.begin() + 1, shape.end()) == entry;
  if (is_number || shape == entry || is_list) return;
  std::string several = "[N";
  for (const std::size_t side : entry) several += ", " + std::to_string(side);
  throw UsageError("input '" + std::string(input.name) + "' is " + text_of(shape) +
                   ", but must be a number, " + text_of(entry) + " or " + several + "]");
}

template <class Set>
void set_each(const std::vector<ddpm_rt_input>& known, const std::vector<NamedValue>& values,
              const Set& set) {
  std::set<std::string> given;
  for (const auto& [name, value] : values) {
    if (!given.insert(name).second) throw UsageError("input '" + name + "' is given twice");
    if (const auto number = as_number(value)) {
      set(name, std::vector{*number});
      continue;
    }
    if (!value.ends_with(".npy"))
      throw UsageError("input '" + name + "': " + value +
                       " is no number and no .npy; ddpm-rt-cpp reads no pictures");
    const Array array = read_npy(value);
    for (const ddpm_rt_input& input : known)
      if (name == input.name) check_shape(input, array.shape);
    set(name, array.numbers);
  }
}

}  // namespace

NamedValue named_value(const std::string& option, const std::string& word) {
  const auto equals = word.find('=');
  if (equals == word.npos || equals == 0 || equals + 1 == word.size())
    throw UsageError(option + ": '" + word +
                     "' is not NAME=VALUE, such as low_res=x.npy or level=0.5");
  return {word.substr(0, equals), word.substr(equals + 1)};
}

void set_inputs(ddpm_rt::Sampler& sampler, const std::vector<NamedValue>& values,
                const std::vector<NamedValue>& null_values) {
  const auto known = sampler.inputs();
  set_each(known, values, [&](const std::string& name, const std::vector<double>& numbers) {
    sampler.set_input(name, numbers);
  });
  set_each(known, null_values, [&](const std::string& name, const std::vector<double>& numbers) {
    sampler.set_null_input(name, numbers);
  });
}
