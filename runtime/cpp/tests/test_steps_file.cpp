#include <doctest/doctest.h>

#include <filesystem>
#include <functional>

#include "card.hpp"
#include "error.hpp"
#include "golden.hpp"
#include "sha256.hpp"
#include "steps_file.hpp"

using ddpm_rt::Failure;
using nlohmann::json;

namespace {

// The message about a steps file; "" if it is accepted.
std::string said(const std::string& text) {
  try {
    ddpm_rt::parse_steps(text, "f");
    return "";
  } catch (const Failure& failure) {
    CHECK(failure.status == DDPM_RT_BAD_FILE);
    return failure.what();
  }
}

std::string with(const std::function<void(json&)>& change) {
  json steps = golden("ddpm.steps.json");
  change(steps);
  return steps.dump();
}

bool refused(const std::string& sentence, const std::string& part) {
  INFO(sentence);
  return sentence.find(part) != std::string::npos &&
         sentence.find("ddpm-rt steps") != std::string::npos;
}

}  // namespace

TEST_CASE("SHA-256 gives the digests of FIPS 180-4's examples") {
  CHECK(ddpm_rt::sha256("abc") ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(ddpm_rt::sha256("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  CHECK(ddpm_rt::sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq") ==
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  CHECK(ddpm_rt::sha256(std::string(1000000, 'a')) ==
        "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST_CASE("a steps file belongs to the model whose card's text has its hash, and to no other") {
  const auto card = ddpm_rt::read_card(golden_text("card.json"), "card");
  CHECK_NOTHROW(ddpm_rt::check_same_model(ddpm_rt::parse_steps(golden_text("ddpm.steps.json"), "f"),
                                          card, "f"));
  const auto other = ddpm_rt::parse_steps(golden_text("ddpm-x0.steps.json"), "f");
  CHECK_THROWS_WITH_AS(
      ddpm_rt::check_same_model(other, card, "f"),
      "f was compiled for another model; write one for this model with `ddpm-rt steps`", Failure);
}

TEST_CASE(
    "facts that are not the model's, and times that it has not, are refused under the right hash") {
  const auto card = ddpm_rt::read_card(golden_text("card.json"), "card");
  const auto check = [&](const std::string& text) {
    ddpm_rt::check_same_model(ddpm_rt::parse_steps(text, "f"), card, "f");
  };
  CHECK_THROWS_AS(check(with([](json& steps) { steps["width"] = 6; })), Failure);
  CHECK_THROWS_AS(check(with([](json& steps) { steps["output"] = "other"; })), Failure);
  CHECK_THROWS_AS(check(with([](json& steps) { steps["t"][0] = 20; })), Failure);
  CHECK_NOTHROW(check(with([](json& steps) { steps["t"][0] = 19; })));
}

TEST_CASE("every prefix of a steps file is refused") {
  const std::string text = golden_text("ddpm.steps.json");
  for (std::size_t size = 0; size < text.find_last_of('}'); ++size)
    CHECK(!said(text.substr(0, size)).empty());
  CHECK(said(text).empty());
}

TEST_CASE("a missing, an unknown and a repeated key are named") {
  const json steps = golden("ddpm.steps.json");
  for (const auto& [key, value] : steps.items())
    CHECK(refused(said(with([&key = key](json& broken) { broken.erase(key); })),
                  key == "format" ? "format" : "'" + key + "'"));
  CHECK(refused(said(with([](json& steps) { steps["other"] = 1; })), "unknown key 'other'"));
  std::string twice = golden_text("ddpm.steps.json");
  CHECK(refused(said(twice.insert(1, "\"width\": 5,")), "duplicate key 'width'"));
}

TEST_CASE("counts that are huge, negative, fractional or of another column are refused") {
  for (const char* key : {"steps", "channels", "height", "width", "output_channels"})
    for (const json& wrong :
         {json(0), json(-1), json(1e18), json(18446744073709551615U), json(1 << 30), json(1.0),
          json(true), json("6"), json(nullptr), json::array()})
      CHECK(refused(said(with([&](json& steps) { steps[key] = wrong; })), key));
  CHECK(refused(said(with([](json& steps) { steps["steps"] = 5; })), "5 entries"));
  CHECK(refused(said(with([](json& steps) { steps["sigma"].push_back(0); })), "sigma"));
  CHECK(!said(with([](json& steps) {
           steps["channels"] = steps["height"] = steps["width"] = 1 << 16;
           steps["output_channels"] = 1 << 16;
         })).empty());
}

TEST_CASE("coefficients that are no finite float32 are refused") {
  const std::string text = golden_text("ddpm.steps.json");
  const auto place = text.find("\"sigma\": [") + 10;
  for (const char* wrong :
       {"NaN", "Infinity", "-Infinity", "1e999", "1e39", "null", "\"0\"", "[0]", "true", "{}"}) {
    std::string broken = text;
    broken.replace(place, text.find(',', place) - place, wrong);
    CHECK(!said(broken).empty());
  }
}

TEST_CASE("a clip that is no range, and a spread that the network has not, are refused") {
  for (const json& wrong :
       {json::array({1, -1}), json::array({0, 0}), json::array({0}), json("no"), json(1)})
    CHECK(refused(said(with([&](json& steps) { steps["clip"] = wrong; })), "clip"));
  CHECK(refused(said(with([](json& steps) { steps["log_sigma_from_spread"][0] = 0.5; })),
                "log_sigma_from_spread"));
  CHECK(refused(said(with([](json& steps) { steps["output_channels"] = 3; })), "output_channels"));
  CHECK(refused(said(with([](json& steps) { steps["input_y"] = "y"; })), "input_y"));
}

TEST_CASE("JSON a million deep is refused without a crash, as is any other object or format") {
  CHECK(refused(said(std::string(1000000, '[')), "nested deeper than 64 levels"));
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "{\"a\":";
  CHECK(refused(said(deep), "nested deeper than 64 levels"));
  CHECK(refused(said(with([](json& steps) { steps["clip"] = {{{0}}}; })), "clip"));
  for (const char* text :
       {"", "1", "[]", "null", "\"x\"", "{}", "{\"format\": 2}", "\xEF\xBB\xBF{}", "{\"\xFF\": 1}"})
    CHECK(!said(text).empty());
}

TEST_CASE("cards and steps files of format 2 are read; newer ones are refused in a line") {
  const json all = golden("format2/chains.json");
  for (const auto& known : all.at("chains")) {
    const auto name = "format2/" + known.at("name").get<std::string>();
    CAPTURE(name);
    const auto card = ddpm_rt::read_card(golden_text(name + ".card.json"), name);
    const auto steps = ddpm_rt::parse_steps(golden_text(name + ".steps.json"), name);
    CHECK(card.format == 2);
    CHECK_NOTHROW(ddpm_rt::check_same_model(steps, card, name));
  }
  CHECK(ddpm_rt::parse_steps(golden_text("format2/sigma.steps.json"), "f").initial_scale == 80.0F);
  CHECK(!ddpm_rt::parse_steps(golden_text("format2/sigma.steps.json"), "f").has_whole_times());
  CHECK(ddpm_rt::parse_steps(golden_text("ddpm.steps.json"), "f").has_whole_times());
  const std::string newer = said(with([](json& steps) { steps["format"] = 3; }));
  CHECK(newer == "f has format 3, and this library reads formats 1 to 2; use a newer library");
}

TEST_CASE("a steps file of format 1 cannot belong to a card of format 2") {
  json text = golden("ddpm.steps.json");
  const auto card = ddpm_rt::read_card(golden_text("format2/fractional.card.json"), "card");
  text["card_sha256"] = card.sha256;
  CHECK_THROWS_WITH_AS(
      ddpm_rt::check_same_model(ddpm_rt::parse_steps(text.dump(), "f"), card, "f"),
      "f is of format 1, which cannot describe this model; write it again with `ddpm-rt steps`",
      Failure);
}

TEST_CASE("a time is text without a fraction where it has none") {
  CHECK(ddpm_rt::time_text(49) == "49");
  CHECK(ddpm_rt::time_text(2.515218976147159) == "2.515218976147159");
}

TEST_CASE("a path that is missing or a folder is refused with a message") {
  CHECK_THROWS_AS(ddpm_rt::read_steps("no such file"), Failure);
  CHECK_THROWS_AS(ddpm_rt::read_steps(std::filesystem::temp_directory_path().string()), Failure);
}

TEST_CASE("a card that is damaged, deep or of another format is refused") {
  const std::string text = golden_text("card.json");
  const auto refused = [](const std::string& card) {
    CHECK_THROWS_AS(ddpm_rt::read_card(card, "card"), Failure);
  };
  for (std::size_t size = 0; size < text.size(); ++size) refused(text.substr(0, size));
  const json whole = json::parse(text);
  for (const auto& [key, value] : whole.items()) {
    json broken = whole;
    broken.erase(key);
    refused(broken.dump());
  }
  refused(std::string(1000000, '['));
  json card = whole;
  card["image_shape"] = {1, 3};
  refused(card.dump());
  card["image_shape"] = {65536, 65536, 65536};
  refused(card.dump());
}
