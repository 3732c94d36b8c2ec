// Cards and steps files that were changed in one place: the readers accept what Python accepts, and
// refuse what Python refuses. scripts/make_verdicts.py writes the verdicts.
#include <doctest/doctest.h>

#include <functional>

#include "card.hpp"
#include "error.hpp"
#include "golden.hpp"
#include "steps_file.hpp"

using nlohmann::json;

namespace {

using Read = std::function<void(const std::string& text)>;

bool reads(const Read& read, const std::string& text) {
  try {
    read(text);
    return true;
  } catch (const ddpm_rt::Failure& failure) {
    CHECK(failure.status == DDPM_RT_BAD_FILE);
    return false;
  }
}

// Checks each verdict about `content`. Returns their number.
std::size_t check(const json& content, const json& verdicts, const json& values, const Read& read) {
  std::size_t checked = 0;
  for (const auto& entry : verdicts.items()) {
    const std::string place = entry.key();
    const json::json_pointer pointer(place);
    const auto verdict = entry.value().get<std::string>();
    REQUIRE(verdict.size() == values.size() + 1);
    for (std::size_t i = 0; i < verdict.size(); ++i, ++checked) {
      json changed = content;
      json& parent = changed.at(pointer.parent_pointer());
      if (i < values.size())
        changed.at(pointer) = values[i];
      else if (parent.is_array())
        parent.erase(0);
      else
        parent.erase(pointer.back());
      CAPTURE(place);
      CAPTURE((i < values.size() ? values[i].dump() : "removed"));
      CHECK(reads(read, changed.dump()) == (verdict[i] == '1'));
    }
  }
  return checked;
}

}  // namespace

TEST_CASE("a changed card is read where Python reads it, and refused where Python refuses it") {
  const json verdicts = golden("verdicts.json");
  std::size_t checked = 0;
  for (const auto& entry : verdicts.at("cards").items()) {
    const std::string name = entry.key();
    CAPTURE(name);
    checked += check(golden(name + ".json"), entry.value(), verdicts.at("values"),
                     [](const std::string& text) { ddpm_rt::read_card(text, "card"); });
  }
  CHECK(checked > 5000);
}

TEST_CASE("so is a changed steps file") {
  const json verdicts = golden("verdicts.json");
  std::size_t checked = 0;
  for (const auto& entry : verdicts.at("steps").items()) {
    const std::string name = entry.key();
    CAPTURE(name);
    const auto card = ddpm_rt::read_card(golden_text(name + ".card.json"), "card");
    checked += check(golden(name + ".steps.json"), entry.value(), verdicts.at("values"),
                     [&](const std::string& text) {
                       ddpm_rt::check_same_model(ddpm_rt::parse_steps(text, "f"), card, "f");
                     });
  }
  CHECK(checked > 5000);
}
