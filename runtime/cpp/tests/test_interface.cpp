// The C interface itself: versions, sizes of structs, init functions, providers, memory.
#include <cstddef>
#include <cstring>

#include "library.hpp"

namespace {

ddpm_rt_status status(const ddpm_rt_open_options& options) {
  ddpm_rt_sampler* sampler = nullptr;
  const auto result = ddpm_rt_open(file("gaussian.onnx").c_str(), file("ddpm.steps.json").c_str(),
                                   &options, &sampler);
  ddpm_rt_close(sampler);
  return result;
}

}  // namespace

// A field that a newer version appends must not lie in what was padding: old programs leave garbage
// there.
#define DDPM_RT_ENDS_WITH(type, field) \
  static_assert(offsetof(type, field) + sizeof(type::field) == sizeof(type))
DDPM_RT_ENDS_WITH(ddpm_rt_open_options, mode);
DDPM_RT_ENDS_WITH(ddpm_rt_sample_options, init_noise);
DDPM_RT_ENDS_WITH(ddpm_rt_info, is_latent);
DDPM_RT_ENDS_WITH(ddpm_rt_input, name);
DDPM_RT_ENDS_WITH(ddpm_rt_step, time);
static_assert(sizeof(ddpm_rt_status) == 4 && sizeof(ddpm_rt_provider) == 4 &&
              sizeof(ddpm_rt_type) == 4);

TEST_CASE("header and library have one version") {
  CHECK(std::string(ddpm_rt_version()) == DDPM_RT_VERSION);
}

TEST_CASE("init functions give the values of the macros, for structs of any version") {
  const ddpm_rt_open_options open = DDPM_RT_OPEN_OPTIONS;
  const ddpm_rt_info info = DDPM_RT_INFO;
  const ddpm_rt_sample_options sample = DDPM_RT_SAMPLE_OPTIONS;
  ddpm_rt_open_options other_open;
  ddpm_rt_info other_info;
  REQUIRE(ddpm_rt_open_options_init(&other_open, sizeof other_open) == DDPM_RT_OK);
  REQUIRE(ddpm_rt_info_init(&other_info, sizeof other_info) == DDPM_RT_OK);
  CHECK(std::memcmp(&open, &other_open, sizeof open) == 0);
  CHECK(other_info.struct_size == info.struct_size);
  CHECK(other_info.classes == -1);
  CHECK(other_info.null_class == -1);

  struct Newer {
    ddpm_rt_sample_options options;
    std::uint64_t unknown, behind;
  } newer;
  std::memset(&newer, 0x77, sizeof newer);
  REQUIRE(ddpm_rt_sample_options_init(&newer.options, offsetof(Newer, behind)) == DDPM_RT_OK);
  CHECK(newer.options.struct_size == offsetof(Newer, behind));
  CHECK(newer.options.count == sample.count);
  CHECK(newer.options.batch == sample.batch);
  CHECK(newer.options.guidance == 1.0);
  CHECK(newer.unknown == 0);
  CHECK(newer.behind == 0x7777777777777777);
  ddpm_rt_sample_options older;
  std::memset(&older, 0x77, sizeof older);
  REQUIRE(ddpm_rt_sample_options_init(&older, offsetof(ddpm_rt_sample_options, guidance)) ==
          DDPM_RT_OK);
  CHECK(older.batch == sample.batch);
  CHECK(older.guidance != 1.0);
}

TEST_CASE("init functions refuse NULL and sizes that cannot be right") {
  ddpm_rt_open_options options;
  CHECK(ddpm_rt_open_options_init(nullptr, sizeof options) == DDPM_RT_INVALID_ARGUMENT);
  CHECK(ddpm_rt_open_options_init(&options, 0) == DDPM_RT_INVALID_ARGUMENT);
  CHECK(ddpm_rt_open_options_init(&options, 1 << 20) == DDPM_RT_INVALID_ARGUMENT);
}

TEST_CASE("threads, device, streams, mode and provider out of range are refused with the range") {
  const auto refused = [](auto change, const char* why) {
    ddpm_rt_open_options options = DDPM_RT_OPEN_OPTIONS;
    change(options);
    CHECK(status(options) == DDPM_RT_INVALID_ARGUMENT);
    CHECK(has(ddpm_rt_last_error(), why));
  };
  refused([](auto& options) { options.threads = 4096; }, "from 0 to 1024, not 4096");
  refused([](auto& options) { options.threads = INT32_MAX; }, "from 0 to 1024");
  refused([](auto& options) { options.threads = -1; }, "from 0 to 1024, not -1");
  refused([](auto& options) { options.device = -1; }, "device must be from 0 to 1023, not -1");
  refused([](auto& options) { options.device = 1024; }, "device must be from 0 to 1023, not 1024");
  refused([](auto& options) { options.streams = 0; }, "streams must be from 1 to 64, not 0");
  refused([](auto& options) { options.streams = 65; }, "streams must be from 1 to 64, not 65");
  refused([](auto& options) { options.streams = 2; }, "streams are for the loop on a GPU");
  refused([](auto& options) { options.mode = -1; }, "mode must be from 0 to 3, not -1");
  refused([](auto& options) { options.mode = 4; }, "mode must be from 0 to 3, not 4");
  refused([](auto& options) { options.mode = 2; }, "mode and streams are for the loop on a GPU");
  refused([](auto& options) { options.provider = 4; }, "provider");
  refused([](auto& options) { options.provider = -1; }, "provider");
}

TEST_CASE("providers are listed with their names, and the CPU is one of them") {
  const auto providers = ddpm_rt::providers();
  CHECK(std::find(providers.begin(), providers.end(), DDPM_RT_CPU) != providers.end());
  CHECK(ddpm_rt_providers(nullptr, 0) == providers.size());
  ddpm_rt_provider first[2] = {-1, -1};
  CHECK(ddpm_rt_providers(first, 1) == providers.size());
  CHECK(first[0] == DDPM_RT_CPU);
  CHECK(first[1] == -1);
  CHECK(std::string(ddpm_rt_provider_name(DDPM_RT_AUTO)) == "auto");
  CHECK(std::string(ddpm_rt_provider_name(DDPM_RT_TENSORRT)) == "tensorrt");
  CHECK(ddpm_rt_provider_name(4) == nullptr);
  CHECK(ddpm_rt_provider_name(-1) == nullptr);
}

TEST_CASE("a sampler from memory draws the images of one from files") {
  std::string model = content("gaussian.onnx"), steps = content("ddpm.steps.json");
  auto sampler = ddpm_rt::Sampler::from_memory(bytes(model), bytes(steps), {.threads = 1});
  std::fill(model.begin(), model.end(), '\0');  // the bytes are not needed any more
  std::fill(steps.begin(), steps.end(), '\0');
  CHECK(furthest(sampler.sample({.seed = 7, .count = 3}),
                 opened().sample({.seed = 7, .count = 3})) == 0);
}

TEST_CASE("bytes that are missing, damaged or do not belong together are refused") {
  const std::string model = content("gaussian.onnx"), steps = content("ddpm.steps.json");
  const auto refused = [](const std::string& model, const std::string& steps) {
    try {
      ddpm_rt::Sampler::from_memory(bytes(model), bytes(steps));
      return std::string("it was opened");
    } catch (const ddpm_rt::Error& error) {
      return std::string(error.what());
    }
  };
  CHECK(has(refused("", steps), "the model must not be NULL or empty"));
  CHECK(has(refused(model, ""), "the steps must not be empty"));
  CHECK(has(refused(model.substr(0, 100), steps), "the model in memory cannot be opened"));
  CHECK(has(refused(model, steps.substr(0, 100)), "the steps in memory: not JSON"));
  CHECK(has(refused(model, content("classes.steps.json")), "for another model"));
  CHECK(has(refused("ftrt", steps), "is a TensorRT plan"));
  CHECK(ddpm_rt_open_memory(nullptr, nullptr, nullptr, nullptr, nullptr) ==
        DDPM_RT_INVALID_ARGUMENT);
}

TEST_CASE("a message is one line of at most 300 printable characters") {
  const std::string path = "\x1B]0;x\x07\n" + std::string(5000, 'a') + ".onnx";
  ddpm_rt_sampler* sampler = nullptr;
  CHECK(ddpm_rt_open(path.c_str(), "b", nullptr, &sampler) == DDPM_RT_BAD_FILE);
  const std::string steps = file("ddpm.steps.json");
  CHECK(ddpm_rt_open(path.c_str(), steps.c_str(), nullptr, &sampler) == DDPM_RT_BAD_FILE);
  const std::string message = ddpm_rt_last_error();
  CHECK(message.size() == 300);
  CHECK(message.starts_with("\\x1b]0;x\\x07\\naaa"));
  CHECK(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c <= '~'; }));
}
