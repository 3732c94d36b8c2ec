#include <cstddef>
#include <cstring>

#include "library.hpp"

namespace {

std::string said(const std::string& engine, const std::string& steps, ddpm_rt_status wanted) {
  ddpm_rt_sampler* sampler = reinterpret_cast<ddpm_rt_sampler*>(1);
  CHECK(ddpm_rt_open(engine.c_str(), steps.c_str(), nullptr, &sampler) == wanted);
  CHECK(sampler == nullptr);
  return ddpm_rt_last_error();
}

}  // namespace

TEST_CASE("files that are missing, damaged or do not belong together are a status and a sentence") {
  const auto engine = file("gaussian.onnx"), steps = file("ddpm.steps.json");
  CHECK(has(said("nowhere.onnx", steps, DDPM_RT_BAD_FILE), "cannot be read: No such file"));
  CHECK(has(said(engine, "nowhere.json", DDPM_RT_BAD_FILE), "cannot be read"));
  CHECK(has(said(steps, steps, DDPM_RT_BAD_FILE), "cannot be opened by ONNX Runtime"));
  CHECK(has(said(engine, engine, DDPM_RT_BAD_FILE), "not JSON in UTF-8"));
  CHECK(has(said(file("no_card.onnx"), steps, DDPM_RT_BAD_FILE), "no model card"));
  CHECK(has(said(file("bad_card.onnx"), steps, DDPM_RT_BAD_FILE), "the model card"));
  CHECK(has(said(file("other_shape.onnx"), file("other_shape.steps.json"), DDPM_RT_BAD_FILE),
            "the shape of x differs from the card"));
  CHECK(has(said(engine, file("classes.steps.json"), DDPM_RT_BAD_FILE), "for another model"));
  CHECK(
      has(said(file("empty_batch.onnx"), steps, DDPM_RT_BAD_FILE), "the batch of the graph is 0"));
  for (const char* shape : {"two_times.onnx", "square_time.onnx"})
    CHECK(has(said(file(shape), steps, DDPM_RT_BAD_FILE),
              "'t' must be a number, [1], or [batch], a timestep for each image"));
}

TEST_CASE(
    "a model without a table, or with a damaged one, is refused where no steps file is given") {
  const auto refused = [](const char* model) {
    try {
      ddpm_rt::Sampler opened(file(model));
      return std::string("it opened");
    } catch (const ddpm_rt::Error& error) {
      CHECK(error.status() == DDPM_RT_BAD_FILE);
      return std::string(error.what());
    }
  };
  CHECK(has(refused("gaussian.onnx"), "contains no fitted table; pass a steps file, or run"));
  CHECK(has(refused("no_number.onnx"), "contains no fitted table"));
  CHECK(has(refused("wrong_calls.onnx"), "has 20 rows; embed it again"));
  CHECK(has(refused("cut_table.onnx"), "not JSON"));
  CHECK(opened("cut_table.onnx").info().steps == 20);  // a table that is not asked for is not read
}

TEST_CASE(
    "a provider that is not there is a status and a sentence, and the CPU does not stand in") {
  const auto refused = [](const std::string& engine, ddpm_rt_provider provider, int device = 0) {
    try {
      ddpm_rt::Sampler(file(engine), file("ddpm.steps.json"),
                       ddpm_rt::OpenOptions{.provider = provider, .device = device});
      return std::string("it opened");
    } catch (const ddpm_rt::Error& error) {
      return std::string(error.what());
    }
  };
  CHECK(has(refused("gaussian.onnx", DDPM_RT_CUDA), "CUDA provider is not available"));
  CHECK(has(refused("gaussian.onnx", DDPM_RT_TENSORRT), "is not a TensorRT plan"));
  CHECK(has(refused("gaussian.onnx", DDPM_RT_AUTO, 1), "CUDA provider is not available"));
  CHECK(has(refused("gaussian.onnx", DDPM_RT_CPU, 1), "the CPU has no device 1"));
  CHECK(has(refused("toy.plan", DDPM_RT_CPU), "provider cpu cannot run it"));
  if (!DDPM_RT_TEST_CUDA)
    CHECK(has(refused("toy.plan", DDPM_RT_AUTO), "was built without TensorRT"));
}

TEST_CASE("an engine on the host draws into no device memory, and has nothing to finish") {
  auto sampler = opened();
  std::vector<float> images(24);
  try {
    sampler.sample_device({.count = 1}, images.data(), images.size(), nullptr);
    FAIL("it drew");
  } catch (const ddpm_rt::Error& error) {
    CHECK(error.status() == DDPM_RT_INVALID_ARGUMENT);
    CHECK(has(error.what(), "draws into host memory"));
  }
  sampler.finish();
  CHECK(ddpm_rt_finish(nullptr) == DDPM_RT_INVALID_ARGUMENT);
}

TEST_CASE("an output that is not finite is a status of its own, and names the step") {
  try {
    opened("poison.onnx").sample({});
    FAIL("it went on");
  } catch (const ddpm_rt::Error& error) {
    CHECK(error.status() == DDPM_RT_NOT_FINITE);
    CHECK(has(error.what(), "at step 19, t = 49, for sample 0"));
  }
}

TEST_CASE("the caller's mistakes are INVALID_ARGUMENT, with the reason") {
  ddpm_rt_sampler* sampler = nullptr;
  REQUIRE(ddpm_rt_open(file("gaussian.onnx").c_str(), file("ddpm.steps.json").c_str(), nullptr,
                       &sampler) == DDPM_RT_OK);
  std::vector<float> images(24);
  const auto refused = [&](const char* why, auto change, float* into, std::size_t floats) {
    ddpm_rt_sample_options options = DDPM_RT_SAMPLE_OPTIONS;
    change(options);
    CHECK(ddpm_rt_sample(sampler, &options, into, floats) == DDPM_RT_INVALID_ARGUMENT);
    CHECK(has(ddpm_rt_last_error(), why));
  };
  const auto nothing = [](ddpm_rt_sample_options&) {};
  refused("room", nothing, nullptr, 24);
  refused("room", nothing, images.data(), 23);
  refused("room", [](auto& options) { options.count = 2; }, images.data(), 24);
  refused("count", [](auto& options) { options.count = ~0ULL; }, images.data(), 24);
  refused("first and count", [](auto& options) { options.count = 0; }, images.data(), 24);
  refused(
      "first and count", [](auto& options) { options.first = ~0ULL, options.count = 2; },
      images.data(), 48);
  refused("batch", [](auto& options) { options.batch = 0; }, images.data(), 24);
  refused("struct_size", [](auto& options) { options.struct_size = 0; }, images.data(), 24);
  CHECK(ddpm_rt_sample(nullptr, nullptr, images.data(), 24) == DDPM_RT_INVALID_ARGUMENT);
  ddpm_rt_sampler* none = nullptr;
  CHECK(ddpm_rt_open(nullptr, nullptr, nullptr, &none) == DDPM_RT_INVALID_ARGUMENT);
  CHECK(ddpm_rt_open("a", "b", nullptr, nullptr) == DDPM_RT_INVALID_ARGUMENT);
  ddpm_rt_close(nullptr);
  ddpm_rt_close(sampler);
}

TEST_CASE(
    "options of an older header get defaults, and those of a newer one pass if what is new is 0") {
  auto* sampler = static_cast<ddpm_rt_sampler*>(nullptr);
  REQUIRE(ddpm_rt_open(file("gaussian.onnx").c_str(), file("ddpm.steps.json").c_str(), nullptr,
                       &sampler) == DDPM_RT_OK);
  struct Newer {
    ddpm_rt_sample_options options = DDPM_RT_SAMPLE_OPTIONS;
    std::uint64_t unknown = 0;
  } newer;
  newer.options.struct_size = sizeof newer;
  std::vector<float> now(24), old(24);
  CHECK(ddpm_rt_sample(sampler, &newer.options, now.data(), 24) == DDPM_RT_OK);
  newer.unknown = 1;
  CHECK(ddpm_rt_sample(sampler, &newer.options, now.data(), 24) == DDPM_RT_INVALID_ARGUMENT);
  ddpm_rt_sample_options older = DDPM_RT_SAMPLE_OPTIONS;
  older.struct_size = offsetof(ddpm_rt_sample_options, progress);
  older.preview = 77;
  CHECK(ddpm_rt_sample(sampler, &older, old.data(), 24) == DDPM_RT_OK);
  CHECK(furthest(now, old) == 0);
  ddpm_rt_close(sampler);
}
