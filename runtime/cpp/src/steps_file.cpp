#include "steps_file.hpp"

#include <limits>

#include "error.hpp"
#include "file.hpp"
#include "json_object.hpp"
#include "limits.hpp"
#include "one_line.hpp"

namespace ddpm_rt {
namespace {

constexpr int FORMAT = 1;
constexpr const char* KIND = "a steps file of `ddpm-rt steps`";
constexpr const char* REMEDY = "write it again with `ddpm-rt steps`";
constexpr const char* KEYS[] = {"format",          "sampler",
                                "card_sha256",     "channels",
                                "height",          "width",
                                "output_channels", "clip",
                                "classes",         "null_class",
                                "input_x",         "input_t",
                                "input_y",         "output",
                                "steps",           "t",
                                "x0_from_x",       "x0_from_out",
                                "mean_from_x0",    "mean_from_x",
                                "mean_from_out",   "mean_from_prev_x0",
                                "sigma",           "log_sigma_from_spread"};

struct Column {
  const char* key;
  float Row::* place;
};
constexpr Column COLUMNS[] = {{"x0_from_x", &Row::x0_from_x},
                              {"x0_from_out", &Row::x0_from_out},
                              {"mean_from_x0", &Row::mean_from_x0},
                              {"mean_from_x", &Row::mean_from_x},
                              {"mean_from_out", &Row::mean_from_out},
                              {"mean_from_prev_x0", &Row::mean_from_prev_x0},
                              {"sigma", &Row::sigma},
                              {"log_sigma_from_spread", &Row::log_sigma_from_spread}};

Model model_facts(const JsonObject& object) {
  Model model;
  model.channels = static_cast<std::uint32_t>(object.integer("channels", 1, MAX_SIDE));
  model.height = static_cast<std::uint32_t>(object.integer("height", 1, MAX_SIDE));
  model.width = static_cast<std::uint32_t>(object.integer("width", 1, MAX_SIDE));
  model.output_channels =
      static_cast<std::uint32_t>(object.integer("output_channels", 1, 2 * MAX_SIDE));
  if (model.output_channels != model.channels && model.output_channels != 2 * model.channels)
    object.fail("output_channels must be channels or twice channels");
  model.classes = object.integer_or_null("classes", 1, MAX_CLASSES);
  model.null_class = object.integer_or_null("null_class", 0, model.classes - 1);
  model.x = object.text("input_x");
  model.t = object.text("input_t");
  if (object.is_null("input_y") != (model.classes < 0))
    object.fail("input_y must be a name if there are classes, else null");
  model.y = model.classes < 0 ? "" : object.text("input_y");
  model.out = object.text("output");
  return model;
}

std::vector<Row> step_table(const JsonObject& object, const Model& model) {
  const auto count = static_cast<std::size_t>(object.integer("steps", 1, MAX_ROWS));
  const auto t = object.integers("t", count, 0, std::numeric_limits<std::int32_t>::max());
  std::vector<Row> rows(count);
  for (std::size_t row = 0; row < count; ++row) rows[row].t = t[row];
  for (const auto& [key, place] : COLUMNS) {
    const auto column = object.numbers(key, count);
    for (std::size_t row = 0; row < count; ++row)
      rows[row].*place = static_cast<float>(column[row]);
  }
  for (const Row& row : rows)
    if (row.log_sigma_from_spread != 0 && model.output_channels == model.channels)
      object.fail("log_sigma_from_spread must be 0, because the network predicts no variance");
  return rows;
}

}  // namespace

StepsFile parse_steps(std::string_view text, const std::string& source) {
  const JsonObject object(text, source, REMEDY, FORMAT, KEYS);
  StepsFile steps;
  steps.model = model_facts(object);
  check_image_size(steps.model, source);
  steps.sampler = one_line(object.text("sampler"));
  steps.card_sha256 = object.text("card_sha256");
  steps.clips = !object.is_null("clip");
  const auto clip = steps.clips ? object.numbers("clip", 2) : std::vector<double>{0.0, 1.0};
  if (!(clip[0] < clip[1])) object.fail("clip must be [low, high] or null");
  steps.low = static_cast<float>(clip[0]);
  steps.high = static_cast<float>(clip[1]);
  steps.rows = step_table(object, steps.model);
  return steps;
}

StepsFile read_steps(const std::string& path) {
  return parse_steps(read_file(path, MAX_TEXT_BYTES, KIND), path);
}

void check_same_model(const StepsFile& steps, const Card& card, const std::string& source) {
  if (steps.card_sha256 != card.sha256)
    bad_file(source +
             " was compiled for another model; write one for this model with `ddpm-rt steps`");
  if (steps.model != card.model)
    bad_file(source + ": its facts differ from the model card; " + REMEDY);
  for (const Row& row : steps.rows)
    if (row.t >= card.train_steps)
      bad_file(source + ": t must be below " + std::to_string(card.train_steps) + "; " + REMEDY);
}

}  // namespace ddpm_rt
