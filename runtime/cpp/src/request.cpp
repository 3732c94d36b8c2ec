#include "request.hpp"

#include <cmath>
#include <limits>
#include <string>

#include "error.hpp"
#include "limits.hpp"

namespace ddpm_rt {
namespace {

// The number of classes beside the null class; 0 for a model without a null class.
std::uint64_t other_classes(const Model& model) {
  return model.null_class < 0 ? 0 : static_cast<std::uint64_t>(model.classes - 1);
}

std::int64_t label_of(const ddpm_rt_sample_options& options, const Model& model,
                      std::uint64_t sample) {
  if (options.label_count != 0) return options.labels[sample % options.label_count];
  if (Edit::is_asked(options)) return model.null_class;
  const auto label = static_cast<std::int64_t>(sample % other_classes(model));
  return label < model.null_class ? label : label + 1;
}

void check_labels(const ddpm_rt_sample_options& options, const Model& model) {
  if (model.classes < 0) {
    if (options.label_count != 0)
      bad_argument("the model is unconditional and takes no labels; leave them out");
    return;
  }
  const std::string range = "0 to " + std::to_string(model.classes - 1);
  if (options.label_count != 0 && options.labels == nullptr)
    bad_argument("labels must not be NULL where label_count is not 0");
  const bool has_default =
      Edit::is_asked(options) ? model.null_class >= 0 : other_classes(model) != 0;
  if (options.label_count == 0 && !has_default)
    bad_argument("the model is class-conditional and needs a label from " + range);
  for (std::size_t i = 0; i < options.label_count; ++i)
    if (options.labels[i] < 0 || options.labels[i] >= model.classes)
      bad_argument("label " + std::to_string(options.labels[i]) +
                   " is not a class of the model; labels are " + range);
}

// Guidance needs something to be guided away from: a null class, or null inputs.
void check_guidance(const Request& request, const Model& model) {
  const double guidance = request.options.guidance;
  if (!(std::abs(guidance) <= std::numeric_limits<float>::max()))
    bad_argument("guidance must be a finite number of float32");
  if (guidance == 1.0 || model.null_class >= 0 || !request.null_inputs.is_empty()) return;
  if (model.has_conditions())
    bad_argument("guidance needs the inputs that stand for no condition; set null inputs");
  if (model.classes < 0)
    bad_argument("the model is unconditional and takes no guidance; leave it out");
  bad_argument("guidance needs a model that was trained with a null class; this model has none");
}

void check_inputs(const Request& request, const Model& model) {
  for (std::size_t i = 0; i < model.inputs.size(); ++i) {
    const Input& input = model.inputs[i];
    if (!input.is_previous && !request.inputs.has(i))
      bad_argument("the model needs input '" + input.name + "', " + text_of(input) +
                   " for each sample");
  }
}

}  // namespace

void check_request(const Request& request, const Model& model, const float* images,
                   std::size_t floats) {
  const ddpm_rt_sample_options& options = request.options;
  if (options.count > MAX_COUNT)
    bad_argument("count must be at most " + std::to_string(MAX_COUNT) +
                 "; draw the images after them with first");
  if (options.count < 1 ||
      options.first > std::numeric_limits<std::uint64_t>::max() - (options.count - 1))
    bad_argument("first and count must select at least one sample, all below 2^64");
  if (options.batch < 1 || options.batch > MAX_BATCH)
    bad_argument("batch must be from 1 to " + std::to_string(MAX_BATCH));
  if (images == nullptr || options.count > floats / model.image())
    bad_argument("images must have room for " + std::to_string(options.count) + " x " +
                 std::to_string(model.image()) + " floats; it has room for " +
                 std::to_string(images == nullptr ? 0 : floats));
  check_inputs(request, model);
  check_labels(options, model);
  check_guidance(request, model);
}

Conditions conditions_of(const Request& request, const Model& model, std::uint64_t first,
                         std::size_t count) {
  Conditions conditions;
  conditions.guidance = static_cast<float>(request.options.guidance);
  for (std::size_t i = 0; model.classes >= 0 && i < count; ++i)
    conditions.classes.push_back(label_of(request.options, model, first + i));
  conditions.inputs = request.inputs.of_samples(first, count);
  if (request.options.guidance != 1.0)
    conditions.null_inputs = request.null_inputs.of_samples(first, count);
  return conditions;
}

}  // namespace ddpm_rt
