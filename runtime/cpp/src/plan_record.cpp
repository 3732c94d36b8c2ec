#include "plan_record.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "error.hpp"
#include "file.hpp"
#include "json_object.hpp"
#include "limits.hpp"
#include "sha256.hpp"

namespace ddpm_rt {
namespace {

constexpr int FORMAT = 1;
constexpr const char* REMEDY = "build the plan again";
constexpr const char* PLAN_KIND = "a plan of `ddpm-rt build`";
constexpr const char* RECORD_KIND = "a plan that has its record beside it";
constexpr const char* KEYS[] = {"format", "plan", "build", "refit", "card"};
constexpr const char* PLAN_KEYS[] = {"name", "bytes", "sha256"};
constexpr const char* BUILD_KEYS[] = {"flavour",  "version", "compute_capabilities",
                                      "profiles", "tensors", "layers",
                                      "options",  "onnx",    "graph"};
constexpr const char* OPTIONAL_KEYS[] = {"steps"};
constexpr const char* REFIT_KEYS[] = {"built_as", "card", "onnx"};

// The text of the card, whose SHA-256 is the identity of the card. The record has it on a line of
// its own.
std::string_view card_text(std::string_view text, const JsonObject& record) {
  constexpr std::string_view BEGIN = "\n \"card\": ";
  const auto begin = text.find(BEGIN);
  const auto end = begin == text.npos ? begin : text.find('\n', begin + 1);
  if (end == text.npos) record.fail("it was reformatted, so that the text of its card is lost");
  return text.substr(begin + BEGIN.size(), end - begin - BEGIN.size());
}

std::vector<Profile> read_profiles(const JsonObject& build) {
  std::vector<Profile> profiles;
  for (const auto& entry : build.at("profiles")) {
    std::vector<std::int64_t> sizes;
    if (entry.is_array())
      for (const auto& size : entry)
        if (size.is_number_integer()) sizes.push_back(size.get<std::int64_t>());
    if (sizes.size() != 3 || entry.size() != 3 || sizes[0] < 1 || sizes[2] > MAX_BATCH ||
        !std::is_sorted(sizes.begin(), sizes.end()))
      build.fail("each profile must be the batches [smallest, best, largest]");
    profiles.push_back({sizes[0], sizes[1], sizes[2]});
  }
  if (profiles.empty()) build.fail("profiles must contain at least one profile");
  return profiles;
}

FittedTables read_tables(const JsonObject& record) {
  FittedTables tables;
  if (!record.has("steps")) return tables;
  const JsonObject steps = record.object("steps");
  for (const auto& [key, text] : steps.all().items()) {
    const auto calls = calls_of(key);
    if (!calls || !text.is_string())
      record.fail("steps must map numbers of rows to texts of steps files");
    tables[*calls] = text.get<std::string>();
  }
  return tables;
}

using Capability = std::pair<int, int>;

// The numbers of "8.9". Other text gives a capability that no GPU has.
Capability capability_of(std::string_view text) {
  Capability found = {1 << 20, 0};
  const auto dot = std::min(text.find('.'), text.size());
  std::from_chars(text.data(), text.data() + dot, found.first);
  if (dot < text.size()) std::from_chars(&text[dot] + 1, text.data() + text.size(), found.second);
  return found;
}

// The SHA-256 of the card in the name of the network. A refit changes the card, not the name.
std::string card_in_name(const JsonObject& record, const JsonObject& build,
                         const std::string& card) {
  if (record.is_null("refit")) {
    const auto& options = build.at("options");
    if (options.is_object() && options.value("strip_weights", nlohmann::json()) == true)
      bad_file(record.source() +
               ": the plan was built without weights; add them with `ddpm-rt refit`");
    return card;
  }
  const JsonObject refit = record.object("refit", REFIT_KEYS);
  return refit.text("card") == card ? refit.text("built_as") : "";
}

}  // namespace

PlanRecord parse_plan_record(std::string_view text, const std::string& source) {
  const JsonObject record(text, source + ": the record of the plan", REMEDY, {KEYS}, OPTIONAL_KEYS);
  const JsonObject plan = record.object("plan", PLAN_KEYS);
  const JsonObject build = record.object("build", BUILD_KEYS);
  const auto card = card_text(text, record);
  PlanRecord found = {read_card(card, source),
                      plan.text("name"),
                      plan.integer("bytes", 1, INT64_MAX),
                      plan.text("sha256"),
                      build.text("flavour"),
                      build.text("version"),
                      build.texts("compute_capabilities"),
                      read_profiles(build),
                      read_tables(record)};
  if (found.name !=
      "ddpm-rt/" + std::to_string(FORMAT) + " " + card_in_name(record, build, found.card.sha256))
    record.fail("its card was changed");
  return found;
}

PlanRecord read_plan_record(const ModelSource& source) {
  if (source.in_memory) return parse_plan_record(source.record, "the record in memory");
  checked_size(source.name, MAX_MODEL_BYTES, PLAN_KIND);
  const std::string path = source.name + ".json";
  return parse_plan_record(read_file(path, MAX_TEXT_BYTES, RECORD_KIND), path);
}

std::string_view read_plan(const ModelSource& source, const PlanRecord& record, std::string& file) {
  // a plan of another size is not read: it may be large
  const auto size = source.in_memory ? source.model.size()
                                     : checked_size(source.name, MAX_MODEL_BYTES, PLAN_KIND);
  const bool same_size = size == static_cast<std::uintmax_t>(record.bytes);
  if (same_size && !source.in_memory) file = read_file(source.name, MAX_MODEL_BYTES, PLAN_KIND);
  const std::string_view bytes = source.in_memory ? source.model : std::string_view(file);
  if (!same_size || sha256(bytes) != record.sha256)
    bad_file(source.name + " is not the plan that its record describes; copy both again, or " +
             REMEDY);
  return bytes;
}

bool fits(const PlanRecord& record, int major, int minor) {
  const Capability here = {major, minor};
  return std::any_of(record.capabilities.begin(), record.capabilities.end(), [&](const auto& one) {
    return one.ends_with('+')
               ? here >= capability_of(std::string_view(one).substr(0, one.size() - 1))
               : here == capability_of(one);
  });
}

}  // namespace ddpm_rt
