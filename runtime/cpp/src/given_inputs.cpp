#include "given_inputs.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "error.hpp"

namespace ddpm_rt {
namespace {

// Whether an integer of type To can hold the number.
template <class To, class From>
bool holds(From number) {
  if constexpr (std::is_floating_point_v<From>)
    return std::trunc(number) == number &&
           number >= static_cast<From>(std::numeric_limits<To>::min()) &&
           number < -static_cast<From>(std::numeric_limits<To>::min());  // 2^31 or 2^63, exactly
  else
    return number >= std::numeric_limits<To>::min() && number <= std::numeric_limits<To>::max();
}

template <class To, class From>
void convert(const Input& input, const From* from, std::size_t count, std::byte* bytes) {
  for (std::size_t i = 0; i < count; ++i) {
    From number;
    std::memcpy(&number, from + i, sizeof number);
    if constexpr (std::is_floating_point_v<From>)
      if (!std::isfinite(number))
        bad_argument("input '" + input.name + "' must be of finite numbers");
    if constexpr (std::is_integral_v<To>)
      if (!holds<To>(number))
        bad_argument("input '" + input.name + "' must be of integers that " + name_of(input.type) +
                     " can hold");
    const auto cast = static_cast<To>(number);
    if constexpr (std::is_floating_point_v<To>)
      if (!std::isfinite(cast))
        bad_argument("input '" + input.name + "' has numbers that float32 cannot hold");
    std::memcpy(bytes + i * sizeof cast, &cast, sizeof cast);
  }
}

template <class From>
void convert_to(const Input& input, const void* data, std::size_t count, std::byte* bytes) {
  const auto* const from = static_cast<const From*>(data);
  if (input.type == InputType::FLOAT32) return convert<float>(input, from, count, bytes);
  if (input.type == InputType::INT64) return convert<std::int64_t>(input, from, count, bytes);
  convert<std::int32_t>(input, from, count, bytes);
}

void convert_from(ddpm_rt_type type, const Input& input, const void* data, std::size_t count,
                  std::byte* bytes) {
  switch (type) {
    case DDPM_RT_FLOAT32:
      return convert_to<float>(input, data, count, bytes);
    case DDPM_RT_INT64:
      return convert_to<std::int64_t>(input, data, count, bytes);
    case DDPM_RT_INT32:
      return convert_to<std::int32_t>(input, data, count, bytes);
    case DDPM_RT_FLOAT64:
      return convert_to<double>(input, data, count, bytes);
    default:
      bad_argument("type must be a constant of ddpm_rt_type, not " + std::to_string(type));
  }
}

// The index of the input that the caller gives. Throws Failure for another name.
std::size_t index_of(const Model& model, const std::string& name) {
  std::string known;
  for (std::size_t i = 0; i < model.inputs.size(); ++i) {
    if (model.inputs[i].is_previous) continue;
    if (model.inputs[i].name == name) return i;
    known += (known.empty() ? "" : ", ") + model.inputs[i].name;
  }
  bad_argument("the model has no input '" + name.substr(0, 60) + "' to be given; " +
               (known.empty() ? "it has none" : "they are " + known));
}

}  // namespace

std::string text_of(const Input& input) {
  std::string text = name_of(input.type) + std::string(" [");
  for (std::size_t i = 0; i < input.shape.size(); ++i)
    text += (i == 0 ? "" : ", ") + std::to_string(input.shape[i]);
  return text + "]";
}

void GivenInputs::set(const std::string& name, ddpm_rt_type type, const void* data,
                      std::size_t count) {
  const std::size_t index = index_of(*model_, name);
  const Input& input = model_->inputs[index];
  if (data == nullptr && count == 0) {
    values_[index] = {};
    return;
  }
  const std::size_t numbers = input.numbers();
  if (data == nullptr || count == 0 || (count != 1 && count % numbers != 0))
    bad_argument("input '" + name + "' is " + text_of(input) +
                 " for each sample: give one number, or a multiple of " + std::to_string(numbers) +
                 " numbers, not " + std::to_string(data == nullptr ? 0 : count));
  Value value;
  value.entries = count == 1 ? 1 : count / numbers;
  const std::size_t size = size_of(input.type);
  value.bytes.resize(value.entries * input.bytes());
  convert_from(type, input, data, count, value.bytes.data());
  for (std::size_t i = 1; count == 1 && i < numbers; ++i)
    std::memcpy(value.bytes.data() + i * size, value.bytes.data(), size);
  values_[index] = std::move(value);
}

bool GivenInputs::is_empty() const {
  return std::all_of(values_.begin(), values_.end(),
                     [](const Value& value) { return value.entries == 0; });
}

InputBytes GivenInputs::of_samples(std::uint64_t first, std::size_t count) const {
  InputBytes taken(values_.size());
  for (std::size_t i = 0; i < values_.size(); ++i) {
    const auto& [entries, bytes] = values_[i];
    if (entries == 0) continue;
    const std::size_t size = model_->inputs[i].bytes();
    taken[i].resize(count * size);
    for (std::size_t n = 0; n < count; ++n)
      std::memcpy(taken[i].data() + n * size, bytes.data() + (first + n) % entries * size, size);
  }
  return taken;
}

}  // namespace ddpm_rt
