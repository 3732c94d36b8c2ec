#include "steps_file.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "error.hpp"
#include "file.hpp"
#include "json_object.hpp"
#include "limits.hpp"
#include "one_line.hpp"

namespace ddpm_rt {
namespace {

constexpr const char* KIND = "a steps file of `ddpm-rt steps`";
constexpr const char* REMEDY = "write it again with `ddpm-rt steps`";
#define COLUMN_KEYS                                                                \
  "t", "x0_from_x", "x0_from_out", "mean_from_x0", "mean_from_x", "mean_from_out", \
      "mean_from_prev_x0", "sigma", "log_sigma_from_spread"
constexpr const char* KEYS_1[] = {"format",  "sampler",    "card_sha256",     "channels",
                                  "height",  "width",      "output_channels", "clip",
                                  "classes", "null_class", "input_x",         "input_t",
                                  "input_y", "output",     "steps",           COLUMN_KEYS};
constexpr const char* KEYS_2[] = {"format",          "sampler",       "card_sha256", "shape",
                                  "output_channels", "clip",          "classes",     "null_class",
                                  "input_x",         "input_t",       "input_y",     "inputs",
                                  "output",          "initial_scale", "steps",       COLUMN_KEYS};
constexpr const char* INPUT_KEYS[] = {"name", "dtype", "shape", "role"};

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

Sides shape_of(const JsonObject& object) {
  if (object.format() != 1) return object.shape("shape", 1, 4);
  Sides shape;
  for (const char* key : {"channels", "height", "width"})
    shape.push_back(object.integer(key, 1, MAX_SIDE));
  if (shape[0] * shape[1] > MAX_ELEMENTS / shape[2])
    object.fail("images of more than " + std::to_string(MAX_ELEMENTS) +
                " values are not supported");
  return shape;
}

std::vector<Input> inputs_of(const JsonObject& object) {
  std::vector<Input> inputs;
  if (!object.at("inputs").is_array()) object.fail("inputs must be a list");
  for (const auto& entry : object.at("inputs")) {
    const JsonObject facts = object.object(entry, "each of the inputs");
    facts.check_keys(INPUT_KEYS);
    inputs.push_back(input_of(facts, facts.text("name")));
  }
  return inputs;
}

Model model_facts(const JsonObject& object) {
  Model model;
  model.shape = shape_of(object);
  model.output_channels = object.integer("output_channels", 1, 2 * MAX_SIDE);
  if (model.output_channels != model.shape[0] && model.output_channels != 2 * model.shape[0])
    object.fail("output_channels must be channels or twice channels");
  model.classes = object.integer_or_null("classes", 1, MAX_CLASSES);
  model.null_class = object.integer_or_null("null_class", 0, model.classes - 1);
  model.x = object.text("input_x");
  model.t = object.text("input_t");
  if (object.is_null("input_y") != (model.classes < 0))
    object.fail("input_y must be a name if there are classes, else null");
  model.y = model.classes < 0 ? "" : object.text("input_y");
  model.out = object.text("output");
  if (object.format() != 1) set_inputs(model, inputs_of(object), object);
  return model;
}

float initial_scale_of(const JsonObject& object) {
  if (object.format() == 1) return 1;
  const double scale = object.number("initial_scale");
  if (!(scale > 0 && scale <= std::numeric_limits<float>::max()))
    object.fail("initial_scale must be a number above 0");
  return static_cast<float>(scale);
}

std::vector<double> times_of(const JsonObject& object, std::size_t count) {
  if (object.format() != 1) return object.numbers("t", count);
  const auto whole = object.integers("t", count, 0, std::numeric_limits<std::int32_t>::max());
  return {whole.begin(), whole.end()};
}

std::vector<Row> step_table(const JsonObject& object, const Model& model) {
  const auto count = static_cast<std::size_t>(object.integer("steps", 1, MAX_ROWS));
  const auto t = times_of(object, count);
  std::vector<Row> rows(count);
  for (std::size_t row = 0; row < count; ++row) rows[row].t = t[row];
  for (const auto& [key, place] : COLUMNS) {
    const auto column = object.numbers(key, count);
    for (std::size_t row = 0; row < count; ++row)
      rows[row].*place = static_cast<float>(column[row]);
  }
  const auto from_x0 = object.numbers("mean_from_x0", count);
  const auto from_prev_x0 = object.numbers("mean_from_prev_x0", count);
  for (std::size_t row = 0; row < count; ++row)  // rounded once
    rows[row].mean_from_both_x0 = static_cast<float>(from_x0[row] + from_prev_x0[row]);
  for (const Row& row : rows)
    if (row.log_sigma_from_spread != 0 && model.output_channels == model.shape[0])
      object.fail("log_sigma_from_spread must be 0, because the network predicts no variance");
  return rows;
}

}  // namespace

bool StepsFile::has_whole_times() const {
  return std::all_of(rows.begin(), rows.end(),
                     [](const Row& row) { return row.t == std::trunc(row.t); });
}

std::string time_text(double t) {
  char text[40];
  return {text, std::to_chars(text, text + sizeof text, t).ptr};
}

StepsFile parse_steps(std::string_view text, const std::string& source) {
  const JsonObject object(text, source, REMEDY, {KEYS_1, KEYS_2});
  StepsFile steps;
  steps.format = object.format();
  steps.model = model_facts(object);
  steps.sampler = one_line(object.text("sampler"));
  steps.card_sha256 = object.text("card_sha256");
  steps.clip = object.range_or_null("clip");
  steps.initial_scale = initial_scale_of(object);
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
  if (steps.format == 1 && card.format != 1)
    bad_file(source + " is of format 1, which cannot describe this model; " + REMEDY);
  if (steps.model != card.model)
    bad_file(source + ": its facts differ from the model card; " + REMEDY);
  const auto last = card.process.last_time();
  for (const Row& row : steps.rows)
    if (last && (row.t < 0 || row.t > *last))
      bad_file(source + ": t must lie in [0, " + time_text(*last) + "]; " + REMEDY);
}

}  // namespace ddpm_rt
