#include "model_file.hpp"

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string_view>

#include "file.hpp"
#include "fitted_tables.hpp"
#include "limits.hpp"
#include "model_source.hpp"
#include "python_text.hpp"
#include "sha256.hpp"

namespace {

using Json = nlohmann::json;

constexpr const char* MODEL_KIND = "a model";
constexpr std::string_view CARD = "ddpm_rt.card";

constexpr const char* COLUMNS[] = {"t",
                                   "x0_from_x",
                                   "x0_from_out",
                                   "mean_from_x0",
                                   "mean_from_x",
                                   "mean_from_out",
                                   "mean_from_prev_x0",
                                   "sigma",
                                   "log_sigma_from_spread"};

// The fields of a message of Protocol Buffers.
class Fields {
 public:
  explicit Fields(std::string_view bytes) : rest_(bytes) {}

  // Takes the next field that has bytes: its number, and the bytes. False at the end.
  bool next(std::uint64_t& number, std::string_view& bytes) {
    while (!rest_.empty()) {
      const std::uint64_t tag = varint();
      number = tag >> 3;
      switch (tag & 7) {
        case 0:
          varint();
          break;
        case 1:
          take(8);
          break;
        case 2:
          bytes = take(varint());
          return true;
        case 5:
          take(4);
          break;
        default:
          damaged();
      }
    }
    return false;
  }

 private:
  [[noreturn]] static void damaged() { throw std::runtime_error("the model is not an ONNX file"); }

  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<std::uint8_t>(take(1)[0]);
      value |= std::uint64_t{byte & 127U} << shift;
      if (byte < 128) return value;
    }
    damaged();
  }

  std::string_view take(std::uint64_t size) {
    if (size > rest_.size()) damaged();
    const std::string_view taken = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return taken;
  }

  std::string_view rest_;
};

using Metadata = std::map<std::string, std::string, std::less<>>;

// The metadata of an ONNX file.
Metadata metadata_of(std::string_view model) {
  constexpr std::uint64_t METADATA = 14, KEY = 1, VALUE = 2;
  Metadata texts;
  std::uint64_t number = 0;
  std::string_view bytes;
  for (Fields fields(model); fields.next(number, bytes);) {
    if (number != METADATA) continue;
    std::string_view key, value, part;
    for (Fields entry(bytes); entry.next(number, part);)
      (number == KEY ? key : number == VALUE ? value : bytes) = part;
    texts[std::string(key)] = value;
  }
  return texts;
}

// The same texts from the record beside a plan.
Metadata texts_of_record(const std::string& plan) {
  const Json record =
      Json::parse(ddpm_rt::read_file(plan + ".json", ddpm_rt::MAX_TEXT_BYTES, "a plan's record"));
  Metadata texts = {{std::string(CARD), record.at("card").dump()}};
  const Json steps = record.value("steps", Json::object());
  for (const auto& [calls, text] : steps.items())
    texts[std::string(ddpm_rt::FITTED_KEY) + calls] = text.get<std::string>();
  return texts;
}

// The fitted table of the most network calls; "" if there is none.
std::string longest_table(const Metadata& texts) {
  ddpm_rt::FittedTables tables;
  for (const auto& [key, text] : texts)
    if (key.starts_with(ddpm_rt::FITTED_KEY))
      if (const auto calls =
              ddpm_rt::calls_of(std::string_view(key).substr(ddpm_rt::FITTED_KEY.size())))
        tables[*calls] = text;
  return tables.empty() ? "" : tables.rbegin()->second;
}

// A column as Python's json.dumps writes it. A time is an integer where all of them are.
std::string column_text(const Json& column, bool keeps_integers) {
  for (const Json& value : column) keeps_integers &= value.is_number_integer();
  std::string text;
  for (const Json& value : column)
    text += (text.empty() ? "" : ", ") + (keeps_integers ? std::to_string(value.get<std::int64_t>())
                                                         : python_text(value.get<double>()));
  return "[" + text + "]";
}

// As table_sha256 of runtime/ddpm_rt/artifacts/steps_file.py.
std::string table_sha256(const std::string& steps) {
  const Json table = Json::parse(steps);
  std::string text;
  for (const char* name : COLUMNS)
    text += (text.empty() ? "[[" : ", ") + column_text(table.at(name), text.empty());
  const Json& clip = table.at("clip");
  text += "], " + (clip.is_null() ? "null" : column_text(clip, false));
  const double scale = table.value("initial_scale", 1.0);
  if (scale != 1.0) text += ", " + python_text(scale);
  return ddpm_rt::sha256(text + "]");
}

std::string file_sha256(const std::string& path) {
  return ddpm_rt::sha256(ddpm_rt::read_file(path, ddpm_rt::MAX_MODEL_BYTES, MODEL_KIND));
}

}  // namespace

bool is_plan(const std::string& path) {
  return ddpm_rt::begins_as_plan(ddpm_rt::read_beginning(path, ddpm_rt::PLAN_MAGIC_BYTES));
}

ModelDigests digests_of(const std::string& model, const std::optional<std::string>& steps,
                        bool is_decoded) {
  const std::string bytes = ddpm_rt::read_file(model, ddpm_rt::MAX_MODEL_BYTES, MODEL_KIND);
  const Metadata texts =
      ddpm_rt::begins_as_plan(bytes) ? texts_of_record(model) : metadata_of(bytes);
  ModelDigests digests = {ddpm_rt::sha256(bytes), "", ""};
  digests.table =
      table_sha256(steps ? ddpm_rt::read_file(*steps, ddpm_rt::MAX_TEXT_BYTES, "a steps file")
                         : longest_table(texts));
  if (is_decoded) {
    const Json card = Json::parse(texts.at(std::string(CARD)));
    const auto name = card.at("space").at("decoder").get<std::string>();
    digests.decoder =
        file_sha256((ddpm_rt::path_of(model).parent_path() / ddpm_rt::path_of(name)).string());
  }
  return digests;
}
