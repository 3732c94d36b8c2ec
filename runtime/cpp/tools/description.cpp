#include "description.hpp"

#include <algorithm>
#include <span>

#include "python_text.hpp"
#include "sha256.hpp"

namespace {

using Shape = std::vector<std::size_t>;

// Of an array's type, shape and values, as Python's array_sha256. `type` is NumPy's.
template <class Number>
std::string array_sha256(const std::string& type, const Shape& shape,
                         const std::vector<Number>& numbers) {
  const auto bytes = std::as_bytes(std::span(numbers));
  return ddpm_rt::sha256(
      (type + text_of(shape)).append(reinterpret_cast<const char*>(bytes.data()), bytes.size()));
}

std::string digest_of(const InputValue& value) {
  const auto& [shape, numbers] = value.array;
  if (!value.is_picture) return array_sha256("<f8", shape, numbers);
  return array_sha256("<f4", shape, std::vector<float>(numbers.begin(), numbers.end()));
}

std::string inputs_text(InputValues values) {
  constexpr std::size_t DIGITS = 16;
  std::sort(values.begin(), values.end(),
            [](const InputValue& a, const InputValue& b) { return a.name < b.name; });
  std::string text;
  for (const InputValue& value : values)
    text += (text.empty() ? "" : " ") + value.name + "=" + digest_of(value).substr(0, DIGITS);
  return text;
}

// The labels that are drawn: those asked for, else the null class in an edit, else all others.
std::string label_text(const Arguments& asked, const ddpm_rt_info& info, bool is_edit) {
  std::vector<std::int64_t> labels = asked.labels;
  if (labels.empty() && info.null_class >= 0) {
    if (is_edit) labels = {info.null_class};
    for (std::int64_t label = 0; !is_edit && label < info.classes; ++label)
      if (label != info.null_class) labels.push_back(label);
  }
  std::string text;
  for (const std::int64_t label : labels) text += (text.empty() ? "" : " ") + std::to_string(label);
  return info.classes < 0 ? "-" : text;
}

// An array of samples: float32 [N, *shape].
std::string samples_sha256(const std::vector<float>& samples, const ddpm_rt_info& info) {
  Shape shape = {0};
  std::size_t size = 1;
  for (std::uint32_t axis = 0; axis < info.rank; ++axis) {
    shape.push_back(info.shape[axis]);
    size *= info.shape[axis];
  }
  shape[0] = samples.size() / size;
  return array_sha256("<f4", shape, samples);
}

void add_edit(Texts& texts, const Arguments& asked, const ddpm_rt_info& info,
              const InitialState& state) {
  const Shape sides(info.shape + 1, info.shape + info.rank);
  const bool has_mask = !state.mask.empty();
  texts.emplace_back("ddpm-rt.images", samples_sha256(state.images, info));
  texts.emplace_back("ddpm-rt.strength", python_text(asked.strength.value_or(has_mask ? 1 : 0.5)));
  texts.emplace_back("ddpm-rt.mask", has_mask ? array_sha256("|u1", sides, state.mask) : "-");
  texts.emplace_back("ddpm-rt.resample", std::to_string(asked.resample.value_or(1)));
}

}  // namespace

Texts describe(const Arguments& asked, const ddpm_rt_info& info, const ModelDigests& digests,
               const InitialState& state, const InputValues& inputs,
               const InputValues& null_inputs) {
  const bool is_edit = !state.images.empty() || !state.noise.empty();
  Texts texts = {{"ddpm-rt.seed", std::to_string(asked.seed)},
                 {"ddpm-rt.sampler", info.sampler},
                 {"ddpm-rt.steps", std::to_string(info.steps)},
                 {"ddpm-rt.table", digests.table},
                 {"ddpm-rt.label", label_text(asked, info, is_edit)},
                 {"ddpm-rt.guidance", python_text(asked.guidance)},
                 {"ddpm-rt.model", digests.model}};
  if (!inputs.empty()) texts.emplace_back("ddpm-rt.inputs", inputs_text(inputs));
  if (!null_inputs.empty()) texts.emplace_back("ddpm-rt.null-inputs", inputs_text(null_inputs));
  if (!state.images.empty()) add_edit(texts, asked, info, state);
  if (!state.noise.empty()) texts.emplace_back("ddpm-rt.noise", samples_sha256(state.noise, info));
  if (!digests.decoder.empty()) texts.emplace_back("ddpm-rt.decoder", digests.decoder);
  return texts;
}
