#include "card.hpp"

#include <algorithm>

#include "error.hpp"
#include "json_object.hpp"
#include "limits.hpp"
#include "sha256.hpp"

namespace ddpm_rt {
namespace {

constexpr int FORMAT = 1;
constexpr const char* REMEDY = "export the model again";
constexpr const char* KEYS[] = {"format",     "image_shape", "betas",     "prediction",
                                "variance",   "clip",        "spacing",   "classes",
                                "null_class", "names",       "precision", "provenance"};

// Of UTF-8, in which only the first byte of a character is not 10xxxxxx.
std::size_t characters_of(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

std::string tensor_name(const JsonObject& card, const char* tensor) {
  const auto& names = card.at("names");
  if (!names.is_object() || !names.contains(tensor) || !names.at(tensor).is_string())
    card.fail(std::string("names must contain a string for ") + tensor);
  auto name = names.at(tensor).get<std::string>();
  if (characters_of(name) > MAX_NAME_CHARACTERS)
    card.fail(std::string("the name of ") + tensor + " has more than " +
              std::to_string(MAX_NAME_CHARACTERS) + " characters");
  return name;
}

// The number of betas. Their values are in the step table.
std::int64_t betas_of(const JsonObject& card) {
  const auto& betas = card.at("betas");
  const std::size_t count = betas.is_array() ? betas.size() : 0;
  if (count == 0 || count > MAX_TIMESTEPS)
    card.fail("betas must be a list of at most " + std::to_string(MAX_TIMESTEPS) + " numbers");
  card.numbers("betas", count);
  return static_cast<std::int64_t>(count);
}

}  // namespace

Card read_card(std::string_view text, const std::string& source) {
  const std::string what = source + ": the model card";
  const JsonObject card(text, what, REMEDY, FORMAT, KEYS);
  const auto shape = card.integers("image_shape", 3, 1, MAX_SIDE);
  const auto variance = card.text("variance");
  const auto classes = card.integer_or_null("classes", 1, MAX_CLASSES);
  const bool learned = variance == "learned" || variance == "learned_range";
  if (!learned && variance != "fixed_small" && variance != "fixed_large")
    card.fail("variance must be fixed_small, fixed_large, learned or learned_range");
  const auto betas = betas_of(card);
  Model model;
  model.channels = static_cast<std::uint32_t>(shape[0]);
  model.height = static_cast<std::uint32_t>(shape[1]);
  model.width = static_cast<std::uint32_t>(shape[2]);
  model.output_channels = model.channels * (learned ? 2 : 1);
  model.classes = classes;
  model.null_class = card.integer_or_null("null_class", 0, classes - 1);
  model.x = tensor_name(card, "x");
  model.t = tensor_name(card, "t");
  model.y = classes < 0 ? "" : tensor_name(card, "y");
  model.out = tensor_name(card, "out");
  check_image_size(model, source);
  return {model, betas, sha256(text)};
}

void check_image_size(const Model& model, const std::string& source) {
  if (std::int64_t{model.channels} * model.height > MAX_ELEMENTS / model.width)
    bad_file(source + ": images of more than " + std::to_string(MAX_ELEMENTS) +
             " values are not supported; use a smaller model");
}

}  // namespace ddpm_rt
