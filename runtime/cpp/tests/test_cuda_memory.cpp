// Device memory and streams of the caller, and failures of a GPU.
#include "library.hpp"
#include "stand_in.hpp"

namespace {

std::string refused(const std::string& plan, ddpm_rt_status wanted = DDPM_RT_BAD_FILE,
                    const std::string& steps = "ddpm.steps.json") {
  std::string sentence;
  CHECK(status_of([&] { opened(plan, steps); }, &sentence) == wanted);
  return sentence;
}

}  // namespace

TEST_CASE("images in the caller's memory come in the order of the caller's stream") {
  for (const bool eager : {false, true}) {
    const Device device;
    stand_in_settings()->eager = eager;
    auto sampler = opened("toy.plan");
    const ddpm_rt::Options asked = {.seed = 4, .count = 6, .batch = 4};
    const auto expected = sampler.sample(asked);
    constexpr std::size_t FLOATS = 6 * 24;
    Caller caller(FLOATS);
    caller.fill(0x77);  // queued before the call: must not overwrite the images
    sampler.sample_device(asked, caller.memory(), FLOATS, caller.stream());
    CHECK(furthest(caller.read(), expected) == 0);
    sampler.finish();
    sampler.sample_device(asked, caller.memory(), FLOATS, nullptr);  // the default stream
    sampler.finish();
    CHECK(furthest(caller.read(), expected) == 0);
  }
}

TEST_CASE("the call does not wait for its last batch, but with a callback it does") {
  const Device device;
  auto sampler = opened("toy.plan");
  Caller caller(24);
  sampler.sample_device({.count = 1}, caller.memory(), 24, caller.stream());
  sampler.finish();
  stand_in_mark("queued");
  sampler.sample_device({.count = 1}, caller.memory(), 24, caller.stream());
  const auto ran = Device::runs("queued");
  CHECK(std::count(ran.begin(), ran.end(), "ddpm_rt_step") < 20);
  std::uint64_t heard = 0;
  ddpm_rt::Options asked = {.count = 1};
  asked.progress = [&](const ddpm_rt_step&) { return ++heard != 0; };
  sampler.sample_device(asked, caller.memory(), 24, caller.stream());
  CHECK(heard == 20);
}

TEST_CASE("what went wrong after the call, finish says, or the next call, once") {
  const Device device;
  auto sampler = opened("poison.plan");
  Caller caller(24);
  const auto draw = [&] {
    sampler.sample_device({.count = 1}, caller.memory(), 24, caller.stream());
  };
  std::string sentence;
  CHECK(status_of(draw) == DDPM_RT_OK);
  CHECK(status_of([&] { sampler.finish(); }, &sentence) == DDPM_RT_NOT_FINITE);
  CHECK(has(sentence, "step 19"));
  CHECK(status_of([&] { sampler.finish(); }) == DDPM_RT_OK);
  CHECK(status_of(draw) == DDPM_RT_OK);
  CHECK(status_of(draw) == DDPM_RT_NOT_FINITE);
  CHECK(status_of(draw) == DDPM_RT_OK);  // the sampler is closed while the work is running
}

TEST_CASE("memory and streams that cannot be used are the caller's mistakes") {
  const Device device;
  auto sampler = opened("toy.plan");
  Caller caller(24);
  std::vector<float> host(24);
  std::string sentence;
  const auto draw = [&](float* to, std::size_t floats) {
    return status_of([&] { sampler.sample_device({.count = 1}, to, floats, caller.stream()); },
                     &sentence);
  };
  CHECK(draw(host.data(), host.size()) == DDPM_RT_INVALID_ARGUMENT);
  CHECK(has(sentence, "not memory of the GPU"));
  CHECK(draw(caller.memory(), 23) == DDPM_RT_INVALID_ARGUMENT);
  CHECK(has(sentence, "room"));
  cuStreamBeginCapture_v2(caller.stream(), 1);
  CHECK(draw(caller.memory(), 24) == DDPM_RT_INVALID_ARGUMENT);
  CHECK(has(sentence, "capturing"));
  void* graph = nullptr;
  CHECK(cuStreamEndCapture(caller.stream(), &graph) == 0);  // the capture was not disturbed
  cuGraphDestroy(graph);
}

TEST_CASE("plans that are damaged, another's or for another GPU are a status and a sentence") {
  const Device device;
  CHECK(has(refused("changed.plan"), "is not the plan that its record describes"));
  CHECK(has(refused("changed_card.plan"), "its card was changed"));
  CHECK(has(refused("laid_out.plan"), "reformatted"));
  CHECK(has(refused("alone.plan"), "alone.plan.json cannot be read"));
  CHECK(has(refused("nowhere.plan"), "nowhere.plan cannot be read"));
  CHECK(has(refused("other_name.plan"), "it contains another network"));
  CHECK(has(refused("other_time.plan"), "'t' is of another type"));
  CHECK(has(refused("other_gpu.plan"),
            "compute capability 9.0, and this GPU, Stand-in GPU, has 8.9"));
  CHECK(has(refused("stripped.plan"), "without weights"));
  CHECK(has(refused("rtx.plan"), "--flavour tensorrt"));
  CHECK(has(refused("no_plan.plan"), "TensorRT 10.3.0 cannot load it: API Usage Error"));
  CHECK(has(refused("toy.plan", DDPM_RT_BAD_FILE, "classes.steps.json"), "for another model"));
}

TEST_CASE("a provider that does not fit the file is refused, never replaced by another") {
  const Device device;
  const auto said = [](const std::string& engine, int provider, int number) {
    ddpm_rt_open_options options = DDPM_RT_OPEN_OPTIONS;
    options.provider = provider;
    options.device = number;
    ddpm_rt_sampler* sampler = nullptr;
    CHECK(ddpm_rt_open(file(engine).c_str(), file("ddpm.steps.json").c_str(), &options, &sampler) ==
          DDPM_RT_INVALID_ARGUMENT);
    return std::string(ddpm_rt_last_error());
  };
  CHECK(has(said("toy.plan", DDPM_RT_CPU, 0), "provider cpu cannot run it"));
  CHECK(has(said("gaussian.onnx", DDPM_RT_TENSORRT, 0), "is not a TensorRT plan"));
  CHECK(has(said("toy.plan", DDPM_RT_TENSORRT, 1), "there is no GPU 1: the only GPU is 0"));
  CHECK(has(said("toy.plan", DDPM_RT_AUTO, -1), "device"));
  CHECK(has(said("toy.plan", 9, 0), "provider"));
}

TEST_CASE("no GPU, no memory and a GPU that fails are statuses, and leave nothing behind") {
  const Failure failures[] = {
      {"cuInit", 100, 1, "finds no GPU"},
      {"cuInit", 803, 1, "SYSTEM_DRIVER_MISMATCH"},
      {"cuModuleLoadData", 209, 1, "no kernels for Stand-in GPU of compute capability 8.9"},
      {"cuModuleLoadData", 222, 1, "UNSUPPORTED_PTX_VERSION"},
      {"cuMemAlloc", 2, 1, "MiB free; use smaller batches"},
      {"cuMemHostAlloc", 2, 1, "pinned memory cannot be allocated"},
      {"cuStreamCreate", 2, 1, "OUT_OF_MEMORY"},
      {"cuEventCreate", 2, 2, "OUT_OF_MEMORY"},
      {"cuLaunchKernel", 1, 2, "INVALID_VALUE"},
      {"cuGraphInstantiate", 2, 1, "OUT_OF_MEMORY"},
      {"cuGraphLaunch", 719, 7, "LAUNCH_FAILED"},
      {"cuEventSynchronize", 719, 2, "LAUNCH_FAILED"},
      {"cuMemcpyDtoHAsync", 1, 1, "INVALID_VALUE"},
      {"run:ddpm_rt_step", 700, 9, "ILLEGAL_ADDRESS"},
  };
  for (const Failure& failure : failures) {
    CAPTURE(failure.call);
    const Device device;
    check_failure(failure, [] { opened("toy.plan").sample({.count = 2}); });
  }
}
