#include "card.hpp"

#include "error.hpp"
#include "record.hpp"
#include "sha256.hpp"

namespace ddpm_rt {
namespace {

constexpr int FORMAT = 1;
constexpr int DEPTH = 4;
constexpr const char* REMEDY = "export the model again";
constexpr const char* KEYS[] = {"format",     "image_shape", "betas",     "prediction",
                                "variance",   "clip",        "spacing",   "classes",
                                "null_class", "names",       "precision", "provenance"};
constexpr std::int64_t MAX_IMAGE = std::int64_t{1} << 28;

std::string name(const Record& record, const char* tensor) {
  const auto& names = record.at("names");
  if (!names.is_object() || !names.contains(tensor) || !names.at(tensor).is_string())
    record.fail(std::string("names must name the tensor ") + tensor);
  return names.at(tensor).get<std::string>();
}

}  // namespace

Card read_card(std::string_view text, const std::string& source) {
  const Record record(text, source + ": the model card", REMEDY, DEPTH, FORMAT, KEYS);
  const auto shape = record.integers("image_shape", 3, 1, MAX_SIDE);
  const auto variance = record.text("variance");
  const auto classes = record.integer_or_null("classes", 1, MAX_CLASSES);
  const bool learned = variance == "learned" || variance == "learned_range";
  if (!learned && variance != "fixed_small" && variance != "fixed_large")
    record.fail("variance is not known");
  if (!record.at("betas").is_array() || record.at("betas").empty())
    record.fail("betas must be a list of numbers");
  Model model;
  model.channels = static_cast<std::uint32_t>(shape[0]);
  model.height = static_cast<std::uint32_t>(shape[1]);
  model.width = static_cast<std::uint32_t>(shape[2]);
  model.output_channels = model.channels * (learned ? 2 : 1);
  model.classes = classes;
  model.null_class = record.integer_or_null("null_class", 0, classes - 1);
  model.x = name(record, "x");
  model.t = name(record, "t");
  model.y = classes < 0 ? "" : name(record, "y");
  model.out = name(record, "out");
  check_shape(model, source);
  return {model, static_cast<std::int64_t>(record.at("betas").size()), sha256(text)};
}

void check_shape(const Model& model, const std::string& source) {
  if (std::int64_t{model.channels} * model.height > MAX_IMAGE / model.width)
    bad_file(source + ": an image of more than 2^28 values is not supported; use a smaller model");
}

}  // namespace ddpm_rt
