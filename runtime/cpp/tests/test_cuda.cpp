// Draws images of a plan on the stand-ins for the driver and TensorRT, and compares the GPU loop
// with the host loop.
#include <cstring>
#include <functional>
#include <thread>

#include "library.hpp"
#include "stand_in.hpp"
#include "toy_on_host.hpp"

TEST_CASE(
    "a plan's images are those of the loop on the host, to the bit, for every kind of table") {
  for (const bool eager : {false, true})
    for (const char* steps : {"ddpm", "ddim", "dpm", "dpmsde", "lcm"}) {
      CAPTURE(steps);
      const Device device;
      stand_in_settings()->eager = eager;
      const std::string steps_file = std::string(steps) + ".steps.json";
      const ddpm_rt::Options asked = {.seed = 7, .first = (1ULL << 32) - 2, .count = 7, .batch = 3};
      CHECK(same(opened("toy.plan", steps_file).sample(asked),
                 on_host("toy.plan", steps_file, asked)));
    }
}

TEST_CASE("without a steps file a plan runs the table of the most calls in its record") {
  const Device device;
  const ddpm_rt::Options asked = {.seed = 7, .count = 3};
  const auto expected = on_host("tuned.plan", "ddim.steps.json", asked);
  CHECK(same(ddpm_rt::Sampler(file("tuned.plan")).sample(asked), expected));
  const std::string plan = content("tuned.plan"), record = content("tuned.plan.json");
  auto in_memory = ddpm_rt::Sampler::from_memory(bytes(plan), {}, bytes(record));
  CHECK(same(in_memory.sample(asked), expected));
  CHECK(has(refusal([] { ddpm_rt::Sampler opened(file("toy.plan")); }), "no fitted table"));
  for (const auto& [from, to] : {std::pair("\"20\": \"", "\"x\": \""),
                                 std::pair("\"steps\": {", "\"steps\": [], \"old\": {")}) {
    std::string changed = record;
    changed.replace(changed.find(from), std::strlen(from), to);
    CHECK(has(refusal([&] { ddpm_rt::Sampler::from_memory(bytes(plan), {}, bytes(changed)); }),
              "build the plan again"));
  }
}

TEST_CASE("a plan and its record can be opened from memory") {
  const Device device;
  const std::string plan = content("toy.plan"), record = content("toy.plan.json"),
                    steps = content("ddpm.steps.json");
  const ddpm_rt::Options asked = {.seed = 7, .count = 2, .batch = 2};
  auto sampler = ddpm_rt::Sampler::from_memory(bytes(plan), bytes(steps), {}, bytes(record));
  CHECK(same(sampler.sample(asked), on_host("toy.plan", "ddpm.steps.json", asked)));
  const auto refused = [&](const std::string& plan, const std::string& record) {
    return refusal(
        [&] { ddpm_rt::Sampler::from_memory(bytes(plan), bytes(steps), {}, bytes(record)); });
  };
  CHECK(has(refused(plan, ""), "needs its record"));
  CHECK(has(refused(plan + "x", record), "is not the plan that its record describes"));
  CHECK(has(refused(content("changed.plan"), record), "is not the plan that its record describes"));
  CHECK(has(refused(plan, record.substr(0, 100)), "the record in memory"));
}

TEST_CASE("a learned variance, and an image whose size is no multiple of four") {
  const Device device;
  const ddpm_rt::Options asked = {.seed = 3, .count = 2, .batch = 2};
  const auto images = opened("learned.plan", "learned.steps.json").sample(asked);
  CHECK(same(images, on_host("learned.plan", "learned.steps.json", asked)));
}

TEST_CASE("a batch larger than asked for, times of other types and one time for all, no graph") {
  const ddpm_rt::Options asked = {.seed = 5, .count = 3, .batch = 3};
  const auto expected = on_host("toy.plan", "ddpm.steps.json", asked);
  for (const char* plan : {"four.plan", "int32.plan", "float32.plan", "list_of_one_time.plan",
                           "newer_gpu.plan", "refitted.plan"}) {
    CAPTURE(plan);
    const Device device;
    CHECK(same(opened(plan).sample(asked), expected));
    const bool graph = count(Device::calls(""), "cuGraphLaunch") == 20;
    CHECK(graph == (plan != std::string("float32.plan")));  // its network cannot be captured
  }
}

TEST_CASE("labels and guidance reach the network on the device") {
  const Device device;
  const std::int64_t labels[] = {0, 1};
  const ddpm_rt::Options asked = {
      .seed = 2, .count = 5, .batch = 4, .labels = labels, .guidance = 3};
  const auto images = opened("classes.plan", "classes.steps.json").sample(asked);
  CHECK(same(images, on_host("classes.plan", "classes.steps.json", asked)));
  auto unlabelled = asked;
  unlabelled.labels = {};
  CHECK(same(opened("classes.plan", "classes.steps.json").sample(unlabelled), images));
  auto single = opened("single.plan", "classes.steps.json");
  CHECK_THROWS_WITH(single.sample(asked),
                    "guidance needs a plan for at least two images; build it with --batch 2");
}

TEST_CASE("named inputs, null inputs and the previous x0 reach the network on the device") {
  const Values inputs = {
      {"image", std::vector<double>(3 * 10)}, {"number", {3, -2}}, {"third", {7}}};
  Values given = inputs;
  for (std::size_t i = 0; i < 30; ++i) given[0].second[i] = static_cast<double>(i) / 16 - 1;
  const Values null = {{"image", {0.25}}, {"number", {1}}};
  for (const char* plan : {"conditions", "conditions-four", "conditions-classes"})
    for (const double guidance : {1.0, 2.5}) {
      CAPTURE(plan);
      const Device device;
      const std::string file = std::string(plan) + ".plan",
                        steps = std::string(plan) + ".steps.json";
      const std::int64_t labels[] = {1};
      ddpm_rt::Options asked = {
          .seed = 9, .first = 2, .count = 5, .batch = 3, .guidance = guidance};
      auto sampler = opened(file, steps);
      if (sampler.info().classes > 0) asked.labels = labels;
      CHECK(has(refusal([&] { sampler.sample(asked); }), "the model needs input 'image'"));
      for (const auto& [name, numbers] : given) sampler.set_input(name, numbers);
      for (const auto& [name, numbers] : null) sampler.set_null_input(name, numbers);
      CHECK(same(sampler.sample(asked), on_host(file, steps, asked, nullptr, given, null)));
    }
}

TEST_CASE("image to image and given noise on the device; masks are refused") {
  std::vector<float> images(5 * 24);
  for (std::size_t i = 0; i < images.size(); ++i) images[i] = std::sin(static_cast<float>(i));
  const std::vector<std::uint8_t> mask(24, 1);
  for (const char* steps : {"ddpm.steps.json", "dpm.steps.json"}) {
    const Device device;
    auto sampler = opened("toy.plan", steps);
    const ddpm_rt::Options plain = {.seed = 7, .count = 5, .batch = 4};
    for (const double strength : {0.0, 0.35, 1.0}) {
      auto asked = plain;
      asked.init_images = images;
      asked.strength = strength;
      std::uint64_t first = 20, heard = 0;
      asked.progress = [&](const ddpm_rt_step& step) {
        first = std::min<std::uint64_t>(first, step.row);
        return ++heard == step.done;
      };
      CHECK(same(sampler.sample(asked), on_host("toy.plan", steps, asked)));
      CHECK(2 * (20 - first) == heard);
    }
    CHECK(same(sampler.sample(plain), on_host("toy.plan", steps, plain)));  // its own rows again
    auto noisy = plain;
    noisy.init_noise = images;
    CHECK(same(sampler.sample(noisy), on_host("toy.plan", steps, noisy)));
    auto masked = plain;
    masked.init_images = images;
    masked.mask = mask;
    CHECK(has(refusal([&] { sampler.sample(masked); }), "masks need the loop on the host"));
  }
  const Device device;
  const std::int64_t labels[] = {1};
  const ddpm_rt::Options guided = {
      .seed = 2, .count = 5, .batch = 4, .labels = labels, .guidance = 3, .init_images = images};
  CHECK(same(opened("classes.plan", "classes.steps.json").sample(guided),
             on_host("classes.plan", "classes.steps.json", guided)));
}

TEST_CASE("a process of noise levels on the device: initial scale, fractional times, a sequence") {
  for (const char* steps : {"levels.steps.json", "levels-noise.steps.json"}) {
    const Device device;
    const ddpm_rt::Options asked = {.seed = 4, .count = 3, .batch = 2};
    CHECK(same(opened("levels.plan", steps).sample(asked), on_host("levels.plan", steps, asked)));
  }
}

TEST_CASE("the callback hears of every step in order, and of x0 as it was then") {
  const Device device;
  std::vector<std::vector<float>> expected;
  std::vector<double> seconds(20);
  ddpm_rt::Options asked = {.seed = 1, .count = 2, .batch = 2, .step_seconds = seconds};
  on_host("toy.plan", "ddpm.steps.json", asked, &expected);
  for (const bool preview : {false, true}) {
    std::uint64_t heard = 0;
    asked.preview = preview;
    asked.progress = [&](const ddpm_rt_step& step) {
      CHECK(step.row == heard);
      CHECK(step.total == 20);
      CHECK((step.x0 != nullptr) == preview);
      if (preview) CHECK(same({step.x0, step.x0 + 48}, expected[heard]));
      CHECK(step.done == ++heard);
      return true;
    };
    opened("toy.plan").sample(asked);
    CHECK(heard == 20);
  }
  for (const double step : seconds) CHECK(step > 0);
}

TEST_CASE("a cancelled call leaves batches before it whole, and the sampler can be used again") {
  const Device device;
  auto sampler = opened("toy.plan");
  std::vector<float> images(2 * 24, 99.0F);
  ddpm_rt::Options asked = {.count = 2, .batch = 1, .preview = true};
  std::uint64_t heard = 0;
  asked.progress = [&](const ddpm_rt_step&) { return ++heard < 23; };
  CHECK_THROWS_WITH_AS(sampler.sample(asked, images), "cancelled after step 2", ddpm_rt::Error);
  CHECK(heard == 23);
  const auto whole = on_host("toy.plan", "ddpm.steps.json", {.count = 1});
  CHECK(same({images.begin(), images.begin() + 24}, whole));
  CHECK(images[24] == 99.0F);
  CHECK(same(sampler.sample({.count = 1}), whole));
}

TEST_CASE("an output that is not finite is a status that names the step") {
  const Device device;
  auto sampler = opened("poison.plan");
  for (int again = 0; again < 2; ++again) try {
      sampler.sample({.count = 2});
      FAIL("it went on");
    } catch (const ddpm_rt::Error& error) {
      CHECK(error.status() == DDPM_RT_NOT_FINITE);
      CHECK(has(error.what(), "not finite at step 19, t = 49, for sample 0"));
    }
}

TEST_CASE(
    "a second call like the first makes nothing new on the device, and steps allocate nothing") {
  const Device device;
  auto sampler = opened("toy.plan");
  const ddpm_rt::Options asked = {.count = 5, .batch = 4};
  const auto images = sampler.sample(asked);
  stand_in_mark("second");
  CHECK(same(sampler.sample(asked), images));
  for (const char* name : {"cuMemAlloc", "cuMemHostAlloc", "cuStreamCreate", "cuEventCreate",
                           "cuGraphInstantiate", "cuModuleLoadData", "cuMemFree"})
    CHECK(count(Device::calls("second"), name) == 0);
  CHECK(count(Device::calls("second"), "cuGraphLaunch") == 40);
  CHECK(count(Device::calls("second"), "cuStreamSynchronize") == 0);
  CHECK(count(Device::runs("second"), "ddpm_rt_step") == 40);
}

TEST_CASE("two samplers on one GPU in two threads draw what each draws alone") {
  const Device device;
  const ddpm_rt::Options asked = {.seed = 6, .count = 5, .batch = 2};
  std::vector<float> found[2];
  const auto work = [&](int which) { found[which] = opened("toy.plan").sample(asked); };
  std::thread first(work, 0), second(work, 1);
  first.join();
  second.join();
  const auto expected = on_host("toy.plan", "ddpm.steps.json", asked);
  CHECK(same(found[0], expected));
  CHECK(same(found[1], expected));
}
