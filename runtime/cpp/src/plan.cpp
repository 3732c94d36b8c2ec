#include "plan.hpp"

#include <algorithm>
#include <charconv>
#include <utility>

#include "error.hpp"
#include "file.hpp"
#include "record.hpp"
#include "sha256.hpp"

namespace ddpm_rt {
namespace {

constexpr int FORMAT = 1;
constexpr int DEPTH = 6;
constexpr std::size_t MAX_RECORD = std::size_t{64} << 20, MAX_PLAN = std::size_t{16} << 30;
constexpr std::int64_t MAX_BATCH = 1 << 20;
constexpr const char* REMEDY = "build the plan again";
constexpr const char* KEYS[] = {"format", "plan", "build", "refit", "card"};
constexpr const char* PLAN_KEYS[] = {"name", "bytes", "sha256"};
constexpr const char* BUILD_KEYS[] = {"flavour",  "version", "compute_capabilities",
                                      "profiles", "tensors", "layers",
                                      "options",  "onnx",    "graph"};
constexpr const char* REFIT_KEYS[] = {"built_as", "card", "onnx"};

// The text that the card's SHA-256 is of: all of its line, which is the last but one.
std::string_view card_text(std::string_view text, const Record& record) {
  constexpr std::string_view BEGIN = "\n \"card\": ";
  const auto begin = text.find(BEGIN);
  const auto end = begin == text.npos ? begin : text.find('\n', begin + 1);
  if (end == text.npos) record.fail("it was laid out anew, so that its card cannot be told");
  return text.substr(begin + BEGIN.size(), end - begin - BEGIN.size());
}

std::vector<Profile> read_profiles(const Record& build) {
  std::vector<Profile> profiles;
  for (const auto& entry : build.at("profiles")) {
    std::vector<std::int64_t> sizes;
    if (entry.is_array())
      for (const auto& size : entry)
        if (size.is_number_integer()) sizes.push_back(size.get<std::int64_t>());
    if (sizes.size() != 3 || entry.size() != 3 || sizes[0] < 1 || sizes[2] > MAX_BATCH ||
        !std::is_sorted(sizes.begin(), sizes.end()))
      build.fail("profiles must be [smallest, best, largest] batches");
    profiles.push_back({sizes[0], sizes[1], sizes[2]});
  }
  if (profiles.empty()) build.fail("profiles must be a list of one at least");
  return profiles;
}

using Capability = std::pair<int, int>;

// 8.9, or of something else one that no GPU has.
Capability capability_of(std::string_view text) {
  Capability found = {1 << 20, 0};
  const auto dot = std::min(text.find('.'), text.size());
  std::from_chars(text.data(), text.data() + dot, found.first);
  if (dot < text.size()) std::from_chars(&text[dot] + 1, text.data() + text.size(), found.second);
  return found;
}

// The SHA-256 of the card that the network's name was made from; a plan that was refitted keeps it.
std::string built_as(const Record& record, const Record& build, const std::string& card) {
  if (record.is_null("refit")) {
    const auto& options = build.at("options");
    if (options.is_object() && options.value("strip_weights", nlohmann::json()) == true)
      bad_file(record.what() +
               ": the plan was built without its weights; put them in with `ddpm-rt "
               "refit`");
    return card;
  }
  const Record refit = record.part("refit", REFIT_KEYS);
  return refit.text("card") == card ? refit.text("built_as") : "";
}

}  // namespace

PlanRecord parse_plan_record(std::string_view text, const std::string& source) {
  const Record record(text, source + ": the plan's record", REMEDY, DEPTH, FORMAT, KEYS);
  const Record plan = record.part("plan", PLAN_KEYS), build = record.part("build", BUILD_KEYS);
  const auto card = card_text(text, record);
  PlanRecord found = {read_card(card, source),
                      plan.text("name"),
                      plan.integer("bytes", 1, INT64_MAX),
                      plan.text("sha256"),
                      build.text("flavour"),
                      build.text("version"),
                      build.texts("compute_capabilities"),
                      read_profiles(build)};
  if (found.name !=
      "ddpm-rt/" + std::to_string(FORMAT) + " " + built_as(record, build, found.card.sha256))
    record.fail("the card in it was changed");
  return found;
}

Plan read_plan(const std::string& path) {
  Plan plan;
  plan.bytes = read_file(path, MAX_PLAN, "a plan that `ddpm-rt build` made");
  const std::string sidecar = path + ".json";
  plan.record = parse_plan_record(
      read_file(sidecar, MAX_RECORD, "a plan that has its record, of this name, beside it"),
      sidecar);
  const PlanRecord& record = plan.record;
  if (static_cast<std::int64_t>(plan.bytes.size()) != record.bytes ||
      sha256(plan.bytes) != record.sha256)
    bad_file(path + " is not the plan that its record describes; copy both again, or " + REMEDY);
  return plan;
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
