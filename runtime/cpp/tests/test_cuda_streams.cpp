// Several batches of a plan at a time, on streams of their own.
#include <cstdint>

#include "library.hpp"
#include "stand_in.hpp"
#include "toy_on_host.hpp"

namespace {

ddpm_rt::Sampler on_streams(int streams, const std::string& plan = "toy.plan",
                            const std::string& steps = "ddpm.steps.json") {
  return {file(plan), file(steps), ddpm_rt::OpenOptions{.streams = streams}};
}

// How many images are whole. All others must be untouched, and come after them.
std::size_t whole_images(const std::vector<float>& images, const std::vector<float>& expected,
                         float untouched) {
  std::size_t whole = 0;
  while (whole < images.size() && images[whole] == expected[whole]) ++whole;
  CHECK(whole % TOY_SIZE == 0);
  CHECK(std::all_of(images.begin() + static_cast<std::ptrdiff_t>(whole), images.end(),
                    [&](float value) { return value == untouched; }));
  return whole / TOY_SIZE;
}

}  // namespace

TEST_CASE("on several streams the images are those of the loop on the host, to the bit") {
  const std::int64_t labels[] = {0, 1};
  for (const int streams : {1, 2, 3})
    for (const std::uint64_t images : {1, 4, 7}) {
      CAPTURE(streams);
      CAPTURE(images);
      const Device device;
      stand_in_settings()->eager = images == 4;
      const ddpm_rt::Options asked = {.seed = 7, .first = 5, .count = images, .batch = 2};
      auto sampler = on_streams(streams);
      for (int again = 0; again < 2; ++again)
        CHECK(same(sampler.sample(asked), on_host("toy.plan", "ddpm.steps.json", asked)));
      auto guided = asked;
      guided.labels = labels;
      guided.guidance = 3;
      CHECK(same(on_streams(streams, "classes.plan", "classes.steps.json").sample(guided),
                 on_host("classes.plan", "classes.steps.json", guided)));
    }
}

TEST_CASE("the streams take turns: each has steps in its queue when the first step is reported") {
  for (const int streams : {1, 2, 3}) {
    const Device device;
    auto sampler = on_streams(streams);
    std::vector<std::uint64_t> heard(6);
    std::uint64_t all = 0;
    ddpm_rt::Options asked = {.count = 6, .batch = 1};
    asked.progress = [&](const ddpm_rt_step& step) {
      // each stream has three marks
      if (all == 0)
        CHECK(count(Device::calls(""), "cuGraphLaunch") == 3 * std::size_t(streams) + 1);
      CHECK(step.row == heard[step.first]++);  // the steps of a batch come in order
      CHECK(step.done == ++all);
      return true;
    };
    sampler.sample(asked);
    CHECK(heard == std::vector<std::uint64_t>(6, 20));
    CHECK(count(Device::calls(""), "cuGraphInstantiate") == static_cast<std::size_t>(streams));
  }
}

TEST_CASE("on several streams a second call like the first makes nothing new on the device") {
  const Device device;
  auto sampler = on_streams(3);
  const ddpm_rt::Options asked = {.count = 9, .batch = 2};
  const auto images = sampler.sample(asked);
  stand_in_mark("second");
  CHECK(same(sampler.sample(asked), images));
  for (const char* name : {"cuMemAlloc", "cuMemHostAlloc", "cuStreamCreate", "cuEventCreate",
                           "cuGraphInstantiate", "cuMemFree"})
    CHECK(count(Device::calls("second"), name) == 0);
}

TEST_CASE("the chains that are kept are bounded, whatever the layouts") {
  const Device device;
  auto sampler = on_streams(2);
  for (std::uint64_t batch = 1; batch <= 4; ++batch)
    sampler.sample({.count = 2 * batch, .batch = batch});
  const auto calls = Device::calls("");
  CHECK(count(calls, "cuMemAlloc") == 8);
  CHECK(count(calls, "cuMemFree") == 3);  // five are left: four, and one more for the second stream
}

TEST_CASE("a call on several streams that is cancelled leaves whole batches, the oldest first") {
  const Device device;
  auto sampler = on_streams(3);
  const auto expected = on_host("toy.plan", "ddpm.steps.json", {.count = 5});
  for (const std::uint64_t after : {1, 25, 70, 99}) {
    CAPTURE(after);
    std::vector<float> images(5 * TOY_SIZE, 99.0F);
    std::vector<std::uint64_t> heard(5);
    std::uint64_t all = 0;
    ddpm_rt::Options asked = {.count = 5, .batch = 1, .preview = true};
    asked.progress = [&](const ddpm_rt_step& step) {
      ++heard[step.first];
      return ++all < after;
    };
    CHECK(status_of([&] { sampler.sample(asked, images); }) == DDPM_RT_CANCELLED);
    CHECK(all == after);
    const auto whole = whole_images(images, expected, 99.0F);
    // three batches have 60 steps in all, and the last batch ends last
    CHECK(whole >= (after == 99 ? 4 : after == 70 ? 1 : 0));
    if (after < 20) CHECK(whole == 0);
    for (std::size_t image = 0; image < whole; ++image) CHECK(heard[image] == 20);
    CHECK(same(sampler.sample({.count = 5, .batch = 1}), expected));
  }
}

TEST_CASE("an output that is not finite ends all streams with the step of the first batch") {
  const Device device;
  auto sampler = on_streams(3, "poison.plan");
  for (int again = 0; again < 2; ++again) {
    std::string sentence;
    CHECK(status_of([&] { sampler.sample({.count = 5, .batch = 1}); }, &sentence) ==
          DDPM_RT_NOT_FINITE);
    CHECK(has(sentence, "not finite at step 19, t = 49, for sample 0"));
  }
}

TEST_CASE("on several streams images reach the caller's memory in the order of his stream") {
  for (const bool eager : {false, true}) {
    const Device device;
    stand_in_settings()->eager = eager;
    auto sampler = on_streams(3);
    const ddpm_rt::Options asked = {.seed = 4, .count = 7, .batch = 2};
    const auto expected = on_host("toy.plan", "ddpm.steps.json", asked);
    constexpr std::size_t FLOATS = 7 * TOY_SIZE;
    Caller caller(FLOATS);
    for (int again = 0; again < 2; ++again) {
      caller.fill(0x77);  // queued before the call: must not overwrite the images
      sampler.sample_device(asked, caller.memory(), FLOATS, caller.stream());
      CHECK(same(caller.read(), expected));
    }
    sampler.finish();
  }
}

TEST_CASE("a failure on the second stream is a status, leaves nothing, and the next call works") {
  const Failure failures[] = {
      {"cuMemAlloc", 2, 2, "MiB free; use smaller batches"},
      {"cuMemHostAlloc", 2, 2, "pinned memory cannot be allocated"},
      {"cuStreamCreate", 2, 2, "OUT_OF_MEMORY"},
      {"cuEventCreate", 2, 6, "OUT_OF_MEMORY"},
      {"cuGraphInstantiate", 2, 2, "OUT_OF_MEMORY"},
  };
  const ddpm_rt::Options asked = {.count = 5, .batch = 2};
  for (const Failure& failure : failures) {
    CAPTURE(failure.call);
    const Device device;
    auto sampler = on_streams(2);
    check_failure(failure, [&] { sampler.sample(asked); });
    CHECK(same(sampler.sample(asked), on_host("toy.plan", "ddpm.steps.json", asked)));
  }
  const Device device;  // a GPU that fails is lost
  stand_in_fail("run:ddpm_rt_step", 700, 29, 1);
  CHECK(has(refusal([&] { on_streams(2).sample(asked); }), "ILLEGAL_ADDRESS"));
}
