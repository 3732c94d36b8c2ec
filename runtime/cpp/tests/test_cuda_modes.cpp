// The modes of the GPU loop: how it launches its steps.
#include <cmath>
#include <cstdint>

#include "library.hpp"
#include "stand_in.hpp"
#include "toy_on_host.hpp"

namespace {

constexpr ddpm_rt_mode MODES[] = {DDPM_RT_REPLAY, DDPM_RT_CHUNKS, DDPM_RT_WHILE, DDPM_RT_STREAM};

ddpm_rt::Sampler in_mode(ddpm_rt_mode mode, const std::string& plan = "toy.plan",
                         const std::string& steps = "ddpm.steps.json", int streams = 1) {
  return {file(plan), file(steps), ddpm_rt::OpenOptions{.streams = streams, .mode = mode}};
}

std::vector<float> drawn_on_host(const ddpm_rt::Options& asked,
                                 const std::string& steps = "ddpm.steps.json") {
  return on_host("toy.plan", steps, asked);
}

}  // namespace

TEST_CASE("in every mode, on one to three streams, images are those of the host loop, to the bit") {
  std::vector<float> starts(5 * TOY_SIZE);
  for (std::size_t i = 0; i < starts.size(); ++i) starts[i] = std::sin(static_cast<float>(i));
  const std::int64_t labels[] = {0, 1};
  const ddpm_rt::Options asked = {.seed = 7, .first = 3, .count = 5, .batch = 2};
  auto edit = asked, guided = asked;
  edit.init_images = starts;
  edit.strength = 0.35;
  guided.labels = labels;
  guided.guidance = 3;
  const auto noise = drawn_on_host(asked), edited = drawn_on_host(edit, "dpm.steps.json"),
             labelled = on_host("classes.plan", "classes.steps.json", guided);
  for (const bool eager : {false, true})
    for (const ddpm_rt_mode mode : MODES)
      for (const int streams : {1, 2, 3}) {
        CAPTURE(mode);
        CAPTURE(streams);
        const Device device;
        stand_in_settings()->eager = eager;
        CHECK(same(in_mode(mode, "toy.plan", "ddpm.steps.json", streams).sample(asked), noise));
        CHECK(same(in_mode(mode, "toy.plan", "dpm.steps.json", streams).sample(edit), edited));
        if (eager) continue;
        CHECK(same(in_mode(mode, "classes.plan", "classes.steps.json", streams).sample(guided),
                   labelled));
      }
}

TEST_CASE("a mode has as many launches as it says: a chain of 20 steps") {
  const std::size_t launches[] = {20, 1 + 4, 1, 0};
  for (const ddpm_rt_mode mode : MODES) {
    CAPTURE(mode);
    const Device device;
    auto sampler = in_mode(mode);
    sampler.sample({});
    stand_in_mark("second");
    CHECK(same(sampler.sample({}), drawn_on_host({})));
    CHECK(count(Device::calls("second"), "cuGraphLaunch") == launches[mode]);
    const auto ran = Device::runs("second");
    CHECK(count(ran, mode == DDPM_RT_WHILE ? "ddpm_rt_step_while" : "ddpm_rt_step") == 20);
    for (const char* name : {"cuMemAlloc", "cuMemHostAlloc", "cuStreamCreate", "cuEventCreate",
                             "cuGraphInstantiate", "cuMemFree"})
      CHECK(count(Device::calls("second"), name) == 0);
  }
}

TEST_CASE("in every mode the callback hears of every step in order, and with preview of its x0") {
  std::vector<std::vector<float>> expected;
  on_host("toy.plan", "ddpm.steps.json", {.count = 1}, &expected);
  for (const ddpm_rt_mode mode : MODES)
    for (const bool preview : {false, true}) {
      CAPTURE(mode);
      const Device device;
      auto sampler = in_mode(mode);
      for (const char* call : {"first", "second"}) {
        std::uint64_t heard = 0, running = 0;
        ddpm_rt::Options asked = {.preview = preview};
        asked.progress = [&](const ddpm_rt_step& step) {
          CHECK(step.row == heard);
          CHECK(step.done == ++heard);
          if (preview) CHECK(same({step.x0, step.x0 + TOY_SIZE}, expected[step.row]));
          if (mode == DDPM_RT_WHILE && !preview) {
            const std::size_t ran = count(Device::runs(call), "ddpm_rt_step_while");
            CHECK(heard <= ran);
            running += ran < 20 ? 1 : 0;
          }
          return true;
        };
        stand_in_mark(call);
        CHECK(same(sampler.sample(asked), drawn_on_host({})));
        CHECK(heard == 20);
        if (mode == DDPM_RT_WHILE && !preview) CHECK(running > 0);  // it hears of a running loop
      }
    }
}

TEST_CASE("a loop does not report the rows of the run before") {
  const Device device;
  auto sampler = in_mode(DDPM_RT_WHILE, "toy.plan", "dpm.steps.json");
  const std::vector<float> start(TOY_SIZE, 0.5F);
  sampler.sample({.init_images = start});  // the next call copies other rows before its lanes
  stand_in_mark("second");
  std::uint64_t heard = 0;
  ddpm_rt::Options asked;
  asked.progress = [&](const ddpm_rt_step&) {
    CHECK(++heard <= count(Device::runs("second"), "ddpm_rt_step_while"));
    return true;
  };
  sampler.sample(asked);
}

TEST_CASE("a cancel ends a loop after its current step, on every stream") {
  for (const int streams : {1, 3}) {
    CAPTURE(streams);
    const Device device;
    auto sampler = in_mode(DDPM_RT_WHILE, "toy.plan", "ddpm.steps.json", streams);
    std::vector<float> images(5 * TOY_SIZE, 99.0F);
    std::uint64_t heard = 0;
    ddpm_rt::Options asked = {.count = 5, .batch = 1};
    asked.progress = [&](const ddpm_rt_step&) { return ++heard < 23; };
    CHECK(status_of([&] { sampler.sample(asked, images); }) == DDPM_RT_CANCELLED);
    CHECK(heard == 23);
    const auto expected = drawn_on_host({.count = 5});
    CHECK(same({images.begin(), images.begin() + TOY_SIZE},
               {expected.begin(), expected.begin() + TOY_SIZE}));
    CHECK(std::all_of(images.begin() + TOY_SIZE, images.end(), [](float x) { return x == 99.0F; }));
    // the first batch, less than the second, and at most the current step of the others
    const std::size_t ran = count(Device::runs(""), "ddpm_rt_step_while");
    CHECK(ran >= 23);
    CHECK(ran < 40);
    CHECK(same(sampler.sample({.count = 5, .batch = 1}), expected));
  }
}

TEST_CASE("a loop ends after an output that is not finite, in a status that names the step") {
  const Device device;
  auto sampler = in_mode(DDPM_RT_WHILE, "poison.plan", "ddpm.steps.json", 2);
  std::string sentence;
  for (int again = 0; again < 2; ++again) {
    CHECK(status_of([&] { sampler.sample({.count = 4, .batch = 2}); }, &sentence) ==
          DDPM_RT_NOT_FINITE);
    CHECK(has(sentence, "not finite at step 19, t = 49, for sample 0"));
  }
}

TEST_CASE("a call into the caller's memory does not wait for its loop, and closing does") {
  const Device device;
  Caller caller(2 * TOY_SIZE);
  const ddpm_rt::Options asked = {.count = 2, .batch = 2};
  {
    auto sampler = in_mode(DDPM_RT_WHILE);
    sampler.sample_device(asked, caller.memory(), 2 * TOY_SIZE, caller.stream());
    CHECK(count(Device::runs(""), "ddpm_rt_step_while") == 0);
  }
  CHECK(count(Device::runs(""), "ddpm_rt_step_while") == 20);
  CHECK(same(caller.read(), drawn_on_host(asked)));
}

TEST_CASE("mode while is refused in one line by an older driver or kernels of an older nvcc") {
  const auto said = [] { return refusal([] { in_mode(DDPM_RT_WHILE); }); };
  {
    const Device device;
    stand_in_settings()->version = 12030;
    CHECK(said() ==
          "mode while needs a driver of CUDA 12.4 or newer; update it, or choose another "
          "mode");
    for (const ddpm_rt_mode mode : {DDPM_RT_REPLAY, DDPM_RT_CHUNKS, DDPM_RT_STREAM})
      CHECK(same(in_mode(mode).sample({}), drawn_on_host({})));
  }
  const Device device(12030);
  CHECK(said() ==
        "mode while needs kernels of nvcc 12.4 or newer; build this library with one, or "
        "choose another mode");
  for (const ddpm_rt_mode mode : {DDPM_RT_REPLAY, DDPM_RT_CHUNKS, DDPM_RT_STREAM})
    CHECK(same(in_mode(mode).sample({}), drawn_on_host({})));
}

TEST_CASE("a network that cannot be captured runs without graphs, but not in mode while") {
  for (const ddpm_rt_mode mode : {DDPM_RT_REPLAY, DDPM_RT_CHUNKS, DDPM_RT_STREAM}) {
    const Device device;
    CHECK(same(in_mode(mode, "float32.plan").sample({}), drawn_on_host({})));
    CHECK(count(Device::calls(""), "cuGraphLaunch") == 0);
  }
  const Device device;
  auto sampler = in_mode(DDPM_RT_WHILE, "float32.plan");
  for (int again = 0; again < 2; ++again)
    CHECK(refusal([&] { sampler.sample({}); }) ==
          "the network cannot be captured into a while graph; choose another mode");
}

TEST_CASE("the kernel of a loop is loaded before it is captured") {
  const Device device;
  in_mode(DDPM_RT_WHILE).sample({});
  const auto calls = Device::calls("");
  const auto loaded = std::find(calls.begin(), calls.end(), "cuKernelGetAttribute");
  REQUIRE(loaded != calls.end());
  CHECK(std::find(loaded, calls.end(), "cuStreamBeginCaptureToGraph") != calls.end());
}

TEST_CASE("a failure of what only mode while calls is a status, and leaves nothing behind") {
  const Failure failures[] = {
      {"cuGraphCreate", 2, 1, "OUT_OF_MEMORY"},
      {"cuGraphCreate", 2, 2, "OUT_OF_MEMORY"},  // of the second stream
      {"cuGraphConditionalHandleCreate", 801, 1, "NOT_SUPPORTED"},
      {"cuGraphAddNode", 801, 2, "NOT_SUPPORTED"},
      {"cuStreamBeginCaptureToGraph", 1, 1, "INVALID_VALUE"},
      {"cuGraphInstantiate", 2, 2, "OUT_OF_MEMORY"},
      {"cuStreamCreate", 2, 4, "OUT_OF_MEMORY"},
      {"cuEventQuery", 719, 3, "LAUNCH_FAILED"},
      {"run:ddpm_rt_step_while", 700, 29, "ILLEGAL_ADDRESS"},
  };
  ddpm_rt::Options asked = {.count = 5, .batch = 2};
  asked.progress = [](const ddpm_rt_step&) { return true; };
  for (const Failure& failure : failures) {
    CAPTURE(failure.call);
    const Device device;
    auto sampler = in_mode(DDPM_RT_WHILE, "toy.plan", "ddpm.steps.json", 2);
    check_failure(failure, [&] { sampler.sample(asked); });
  }
}
