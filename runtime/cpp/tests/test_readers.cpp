// Files and texts that are meant to harm: each is refused soon, with one short line.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <functional>

#include "card.hpp"
#include "error.hpp"
#include "file.hpp"
#include "golden.hpp"
#include "limits.hpp"
#include "plan_record.hpp"
#include "steps_file.hpp"
#include "temporary_folder.hpp"

namespace {

namespace fs = std::filesystem;

std::string refusal(const std::function<void()>& read) {
  try {
    read();
    return "";
  } catch (const ddpm_rt::Failure& failure) {
    CHECK(failure.status == DDPM_RT_BAD_FILE);
    return failure.what();
  }
}

std::string steps_refusal(const std::string& text) {
  return refusal([&] { ddpm_rt::parse_steps(text, "f"); });
}

bool has(const std::string& message, const std::string& part) {
  INFO(message);
  return message.find(part) != std::string::npos;
}

// The golden steps file with another value at the key "sampler", which may be any JSON text.
std::string with_sampler(const std::string& json) {
  std::string text = golden_text("ddpm.steps.json");
  const auto begin = text.find("\"sampler\": ") + 11, end = text.find(",\n", begin);
  return text.replace(begin, end - begin, json);
}

}  // namespace

TEST_CASE("only regular files are read") {
  const TemporaryFolder folder;
  const auto why = [&](const std::string& path) {
    return refusal([&] { ddpm_rt::read_steps(path); });
  };
  const std::string pipe = (folder / "pipe").string();
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK(has(why(pipe), "pipe is not a regular file; name a steps file of `ddpm-rt steps`"));
  CHECK(has(why(folder.path().string()), "is a folder"));
  CHECK(has(why((folder / "missing").string()), "cannot be read: No such file"));
  CHECK(has(why(folder.write("empty", "")), "is empty"));
  fs::create_symlink(pipe, folder / "link");
  CHECK(has(why((folder / "link").string()), "is not a regular file"));
#ifdef __linux__
  CHECK(has(why("/dev/zero"), "is not a regular file"));
  CHECK(has(why("/proc/self/status"), "is not a regular file"));
  CHECK(has(why("/sys/kernel/uevent_seqnum"), "not a regular file"));
#endif
}

TEST_CASE("files beyond the size limits are refused without reading them") {
  const TemporaryFolder folder;
  const auto sparse = [&](const char* name, std::uintmax_t size) {
    const std::string path = folder.write(name, "x");
    fs::resize_file(path, size);
    return path;
  };
  const std::string steps = sparse("large.json", std::uintmax_t{3} << 30);
  CHECK(has(refusal([&] { ddpm_rt::read_steps(steps); }), "has more than 16 MiB"));
  sparse("large.plan.json", ddpm_rt::MAX_TEXT_BYTES + 1);
  const ddpm_rt::ModelSource plan = {.name = folder.write("large.plan", "ftrt")};
  CHECK(has(refusal([&] { ddpm_rt::read_plan_record(plan); }), "has more than 16 MiB"));
  const std::string model = sparse("large.onnx", ddpm_rt::MAX_MODEL_BYTES + 1);
  CHECK(has(refusal([&] { ddpm_rt::checked_size(model, ddpm_rt::MAX_MODEL_BYTES, "a model"); }),
            "has more than 16384 MiB"));
  const std::string text(ddpm_rt::MAX_TEXT_BYTES + 1, ' ');  // of an ONNX file, or in memory
  CHECK(has(refusal([&] { ddpm_rt::read_card(text, "f"); }), "has more than 16 MiB"));
  CHECK(has(steps_refusal(text), "has more than 16 MiB"));
}

TEST_CASE("a plan of another size than its record says is not read") {
  const TemporaryFolder folder;
  const ddpm_rt::ModelSource source = {.name = folder.write("unet.plan", "ftrt")};
  fs::resize_file(source.name, std::uintmax_t{3} << 30);
  ddpm_rt::PlanRecord record = {};
  record.bytes = 4;
  std::string read;
  CHECK(has(refusal([&] { ddpm_rt::read_plan(source, record, read); }), "is not the plan"));
  CHECK(read.empty());
}

TEST_CASE("depth, digits and keys are limited before the text is parsed") {
  const auto nested = [](std::size_t depth) {
    return with_sampler(std::string(depth, '[') + std::string(depth, ']'));
  };
  CHECK(has(steps_refusal(nested(ddpm_rt::MAX_JSON_DEPTH)), "nested deeper than 64 levels"));
  CHECK(has(steps_refusal(nested(ddpm_rt::MAX_JSON_DEPTH - 1)), "sampler must be a string"));
  const auto long_number = [](std::size_t length) {
    return with_sampler(std::string(length, '1'));
  };
  CHECK(has(steps_refusal(long_number(5000)), "a number has more than 100 digits"));
  CHECK(has(steps_refusal(long_number(101)), "a number has more than 100 digits"));
  CHECK(has(steps_refusal(long_number(100)), "sampler must be a string"));
  CHECK(has(steps_refusal(with_sampler("1e999")), "out of range"));  // of a double
  const auto keys = [](std::size_t count) {                          // in two objects
    std::string text = "[{\"k0\": 0";
    for (std::size_t i = 1; i < count; ++i)
      text += (i == count / 2 ? "},{\"k" : ",\"k") + std::to_string(i) + "\": 0";
    return with_sampler(text + "}]");
  };
  constexpr std::size_t OTHERS = 24;  // keys of a steps file
  CHECK(has(steps_refusal(keys(ddpm_rt::MAX_KEYS - OTHERS + 1)), "it has more than 20000 keys"));
  CHECK(has(steps_refusal(keys(ddpm_rt::MAX_KEYS - OTHERS)), "sampler must be a string"));
}

TEST_CASE("brackets, digits and commas inside of strings do not count") {
  const std::string harmless = std::string(5000, '[') + std::string(5000, '1') + "\\\"{{{{,,:";
  CHECK(steps_refusal(with_sampler("\"" + harmless + "\"")) == "");
}

TEST_CASE("text that is not UTF-8 is refused") {
  for (const char* wrong :
       {"\"\xFF\"", "\"\xC0\xAF\"", "\"\xED\xA0\x80\"", "\"\\ud800\"", "\"a\nb\""})
    CHECK(has(steps_refusal(with_sampler(wrong)), "not JSON in UTF-8"));
  CHECK(steps_refusal(with_sampler("\"\xC3\xA9 \\ud83d\\ude00\"")) == "");
}

TEST_CASE("control characters in the description of a sampler are escaped") {
  const auto steps = ddpm_rt::parse_steps(with_sampler("\"\\u001b]0;x\\u0007\""), "f");
  CHECK(steps.sampler == "\\x1b]0;x\\x07");
}

TEST_CASE("betas of a card must be numbers that are finite in float32") {
  const std::string text = golden_text("card.json");
  const auto begin = text.find("\"betas\": [") + 10, end = text.find(',', begin);
  for (const char* wrong : {"NaN", "1e999", "1e39", "\"0\"", "null", "[0]"}) {
    std::string broken = text;
    broken.replace(begin, end - begin, wrong);
    CHECK(!refusal([&] { ddpm_rt::read_card(broken, "f"); }).empty());
  }
}

TEST_CASE("a card of a larger process, image or name than Python allows is refused") {
  const auto refused = [](const std::string& key, const std::string& value) {
    std::string text = golden_text("card.json");
    const auto begin = text.find("\"" + key + "\": ") + key.size() + 4;
    const auto end = text[begin] == '[' ? text.find(']', begin) + 1 : text.find(',', begin);
    text.replace(begin, end - begin, value);
    return refusal([&] { ddpm_rt::read_card(text, "f"); });
  };
  const auto betas = [](std::size_t count) {
    std::string text = "[0.01";
    for (std::size_t i = 1; i < count; ++i) text += ",0.01";
    return text + "]";
  };
  CHECK(refused("betas", betas(ddpm_rt::MAX_TIMESTEPS)) == "");
  CHECK(has(refused("betas", betas(ddpm_rt::MAX_TIMESTEPS + 1)), "a list of at most 65536"));
  CHECK(refused("image_shape", "[1, 8192, 8192]") == "");
  CHECK(has(refused("image_shape", "[1, 8192, 8193]"), "more than 67108864 values"));
  CHECK(has(refused("image_shape", "[1, 1, 65537]"), "from 1 to 65536"));
  std::string name;
  for (std::size_t i = 0; i < ddpm_rt::MAX_NAME_CHARACTERS; ++i) name += "\xC3\xA9";
  CHECK(refused("t", "\"" + name + "\"") == "");
  CHECK(has(refused("t", "\"" + name + "e\""), "t has more than 1000 characters"));
}
