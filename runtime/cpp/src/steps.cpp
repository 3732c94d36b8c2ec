#include "steps.hpp"

#include <limits>

#include "error.hpp"
#include "file.hpp"
#include "record.hpp"

namespace ddpm_rt {
namespace {

constexpr int FORMAT = 1;
constexpr int DEPTH = 2;
constexpr std::size_t MAX_BYTES = std::size_t{64} << 20;
constexpr const char* KIND = "a file that `ddpm-rt steps` wrote";
constexpr std::int64_t MAX_STEPS = 1 << 20;
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

Model read_model(const Record& record) {
  Model model;
  model.channels = static_cast<std::uint32_t>(record.integer("channels", 1, MAX_SIDE));
  model.height = static_cast<std::uint32_t>(record.integer("height", 1, MAX_SIDE));
  model.width = static_cast<std::uint32_t>(record.integer("width", 1, MAX_SIDE));
  model.output_channels =
      static_cast<std::uint32_t>(record.integer("output_channels", 1, 2 * MAX_SIDE));
  if (model.output_channels != model.channels && model.output_channels != 2 * model.channels)
    record.fail("output_channels must be those of the image, or twice as many");
  model.classes = record.integer_or_null("classes", 1, MAX_CLASSES);
  model.null_class = record.integer_or_null("null_class", 0, model.classes - 1);
  model.x = record.text("input_x");
  model.t = record.text("input_t");
  if (record.is_null("input_y") != (model.classes < 0)) record.fail("input_y and classes disagree");
  model.y = model.classes < 0 ? "" : record.text("input_y");
  model.out = record.text("output");
  return model;
}

std::vector<Row> read_rows(const Record& record, const Model& model) {
  const auto count = static_cast<std::size_t>(record.integer("steps", 1, MAX_STEPS));
  const auto t = record.integers("t", count, 0, std::numeric_limits<std::int32_t>::max());
  std::vector<Row> rows(count);
  for (std::size_t row = 0; row < count; ++row) rows[row].t = t[row];
  for (const auto& [key, place] : COLUMNS) {
    const auto column = record.numbers(key, count);
    for (std::size_t row = 0; row < count; ++row)
      rows[row].*place = static_cast<float>(column[row]);
  }
  for (const Row& row : rows)
    if (row.log_sigma_from_spread != 0 && model.output_channels == model.channels)
      record.fail("log_sigma_from_spread must be 0 where the network has no spread");
  return rows;
}

}  // namespace

Steps parse_steps(std::string_view text, const std::string& source) {
  const Record record(text, source, REMEDY, DEPTH, FORMAT, KEYS);
  Steps steps;
  steps.model = read_model(record);
  check_shape(steps.model, source);
  steps.sampler = record.text("sampler");
  steps.card_sha256 = record.text("card_sha256");
  steps.clips = !record.is_null("clip");
  const auto clip = steps.clips ? record.numbers("clip", 2) : std::vector<double>{0.0, 1.0};
  if (!(clip[0] < clip[1])) record.fail("clip must be [low, high] or null");
  steps.low = static_cast<float>(clip[0]);
  steps.high = static_cast<float>(clip[1]);
  steps.rows = read_rows(record, steps.model);
  return steps;
}

Steps read_steps(const std::string& path) {
  return parse_steps(read_file(path, MAX_BYTES, KIND), path);
}

void check_belongs(const Steps& steps, const Card& card, const std::string& source) {
  if (steps.card_sha256 != card.sha256)
    bad_file(source + " was compiled for another model; write one for this with `ddpm-rt steps`");
  if (steps.model != card.model) bad_file(source + ": its facts are not the model's; " + REMEDY);
  for (const Row& row : steps.rows)
    if (row.t >= card.train_steps)
      bad_file(source + ": t must be below " + std::to_string(card.train_steps) + "; " + REMEDY);
}

}  // namespace ddpm_rt
