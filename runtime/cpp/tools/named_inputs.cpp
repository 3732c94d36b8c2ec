#include "named_inputs.hpp"

#include <algorithm>
#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include "arguments.hpp"
#include "npy_file.hpp"
#include "picture.hpp"

namespace {

// The number that the whole word is, if it is one.
std::optional<double> as_number(std::string_view word) {
  if (word.starts_with('+') && !word.starts_with("+-")) word.remove_prefix(1);
  double number = 0;
  const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
  if (error != std::errc{} || end != word.data() + word.size()) return std::nullopt;
  return number;
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

// The value of an input from the file `path`: an .npy, or a picture.
InputValue read_value(const std::vector<ddpm_rt_input>& known, const std::string& name,
                      const std::string& path, bool resize) {
  const auto input =
      std::find_if(known.begin(), known.end(), [&](const auto& one) { return name == one.name; });
  if (is_array(path)) {
    Array array = read_npy(path);
    if (input != known.end()) check_shape(*input, array.shape);
    return {name, std::move(array), false};
  }
  if (input == known.end()) return {name, {{}, {0}}, false};  // which the library refuses
  const std::vector<std::size_t> shape(input->shape, input->shape + input->rank);
  const auto pixels = read_pixels(path, shape, resize);
  return {name, {shape, {pixels.begin(), pixels.end()}}, true};
}

}  // namespace

InputValues read_inputs(const std::vector<ddpm_rt_input>& known,
                        const std::vector<NamedValue>& values, bool resize) {
  InputValues read;
  std::set<std::string> given;
  for (const auto& [name, value] : values) {
    if (!given.insert(name).second) throw UsageError("input '" + name + "' is given twice");
    const auto number = as_number(value);
    read.push_back(number ? InputValue{name, {{}, {*number}}, false}
                          : read_value(known, name, value, resize));
  }
  return read;
}

NamedValue named_value(const std::string& option, const std::string& word) {
  const auto equals = word.find('=');
  if (equals == word.npos || equals == 0 || equals + 1 == word.size())
    throw UsageError(option + ": '" + word +
                     "' is not NAME=VALUE, such as low_res=photo.png or level=0.5");
  return {word.substr(0, equals), word.substr(equals + 1)};
}

void set_inputs(ddpm_rt::Sampler& sampler, const InputValues& values,
                const InputValues& null_values) {
  for (const InputValue& value : values) sampler.set_input(value.name, value.array.numbers);
  for (const InputValue& value : null_values)
    sampler.set_null_input(value.name, value.array.numbers);
}
