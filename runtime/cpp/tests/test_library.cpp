#include <thread>

#include "library.hpp"

TEST_CASE("a sampler tells shape, steps and classes") {
  const auto sampler = opened();
  const auto info = sampler.info();
  CHECK(info.channels == 1);
  CHECK(info.height == 4);
  CHECK(info.width == 6);
  CHECK(info.steps == 20);
  CHECK(info.classes == -1);
  CHECK(has(info.sampler, "ddpm"));
  CHECK(sampler.image_size() == 24);
}

TEST_CASE("without a steps file a model runs the table of the most calls that it contains") {
  const ddpm_rt::Options asked = {.seed = 7, .count = 3};
  const auto expected = opened("gaussian.onnx", "ddim.steps.json").sample(asked);
  ddpm_rt::Sampler sampler(file("tuned.onnx"), {.threads = 1});
  CHECK(sampler.info().steps == 20);
  CHECK(furthest(sampler.sample(asked), expected) == 0);
  const std::string model = content("tuned.onnx");
  auto in_memory = ddpm_rt::Sampler::from_memory(bytes(model), {.threads = 1});
  CHECK(furthest(in_memory.sample(asked), expected) == 0);
}

TEST_CASE("images do not depend on the batch, nor on which other samples are drawn") {
  auto sampler = opened();
  const auto all = sampler.sample({.seed = 7, .first = 3, .count = 5, .batch = 5});
  CHECK(furthest(all, sampler.sample({.seed = 7, .first = 3, .count = 5, .batch = 2})) <= 1e-6F);
  const auto one = sampler.sample({.seed = 7, .first = 6, .count = 1});
  CHECK(furthest(one, {all.begin() + 3 * 24, all.begin() + 4 * 24}) <= 1e-6F);
  CHECK(furthest(one, sampler.sample({.seed = 8, .first = 6, .count = 1})) > 0.1F);
}

TEST_CASE(
    "a graph of fixed batch, and graphs whose t is int32, float32 or one for all, draw the same "
    "images") {
  const auto expected = opened().sample({.seed = 7, .count = 5, .batch = 5});
  for (const char* name :
       {"fixed.onnx", "int32.onnx", "float32.onnx", "one_time.onnx", "list_of_one_time.onnx"}) {
    CAPTURE(name);
    CHECK(furthest(opened(name).sample({.seed = 7, .count = 5, .batch = 5}), expected) <= 1e-6F);
  }
}

TEST_CASE("the callback hears of every step of every batch, with x0 if it asked") {
  auto sampler = opened();
  std::vector<double> seconds(20);
  std::uint64_t heard = 0;
  ddpm_rt::Options options = {.count = 3, .batch = 2, .preview = true, .step_seconds = seconds};
  options.progress = [&](const ddpm_rt_step& step) {
    CHECK(step.row == heard % 20);
    CHECK(step.done == ++heard);
    CHECK(step.total == 40);
    CHECK(step.first == (heard <= 20 ? 0 : 2));
    CHECK(step.count == (heard <= 20 ? 2 : 1));
    CHECK(step.engine_seconds <= step.seconds);
    CHECK(std::isfinite(step.x0[step.count * 24 - 1]));
    return true;
  };
  sampler.sample(options);
  CHECK(heard == 40);
  for (const double step : seconds) CHECK(step > 0);
}

TEST_CASE("a cancelled call returns at once, and batches before it are whole") {
  auto sampler = opened();
  const auto whole = sampler.sample({.count = 1});
  std::vector<float> images(2 * 24, 99.0F);
  ddpm_rt::Options options = {.count = 2, .batch = 1};
  std::uint64_t heard = 0;
  options.progress = [&](const ddpm_rt_step&) { return ++heard < 23; };
  try {
    sampler.sample(options, images);
    FAIL("it went on");
  } catch (const ddpm_rt::Error& error) {
    CHECK(error.status() == DDPM_RT_CANCELLED);
  }
  CHECK(heard == 23);
  CHECK(furthest({images.begin(), images.begin() + 24}, whole) == 0);
  CHECK(images[24] == 99.0F);
}

TEST_CASE("what a callback throws comes out of sample") {
  ddpm_rt::Options options;
  options.progress = [](const ddpm_rt_step&) -> bool { throw std::logic_error("mine"); };
  CHECK_THROWS_WITH_AS(opened().sample(options), "mine", std::logic_error);
}

TEST_CASE("labels and guidance reach the network; what the model has not is refused") {
  auto sampler = opened("classes.onnx", "classes.steps.json");
  CHECK(sampler.info().classes == 3);
  CHECK(sampler.info().null_class == 2);
  const std::int64_t zero[] = {0}, both[] = {0, 1}, wrong[] = {3};
  const auto plain = sampler.sample({.count = 4, .labels = zero});
  const auto mixed = sampler.sample({.count = 4, .labels = both});
  CHECK(furthest({plain.begin() + 48, plain.begin() + 72},
                 {mixed.begin() + 48, mixed.begin() + 72}) <= 1e-6F);
  CHECK(furthest({plain.begin() + 24, plain.begin() + 48},
                 {mixed.begin() + 24, mixed.begin() + 48}) > 1e-3F);
  CHECK(furthest(plain, sampler.sample({.count = 4, .labels = zero, .guidance = 3})) > 1e-3F);
  CHECK_THROWS_WITH(sampler.sample({.labels = wrong}),
                    "label 3 is not a class of the model; labels are 0 to 2");
  for (const double wrong : {double{NAN}, HUGE_VAL, 1e39, -1e39})
    CHECK_THROWS_WITH(sampler.sample({.labels = zero, .guidance = wrong}),
                      "guidance must be a finite number of float32");
  CHECK_THROWS_AS(opened().sample({.labels = zero}), ddpm_rt::Error);
  CHECK_THROWS_AS(opened().sample({.guidance = 2}), ddpm_rt::Error);
}

TEST_CASE("without a label, a model with a null class draws its other classes in turn") {
  auto sampler = opened("classes.onnx", "classes.steps.json");
  const std::int64_t both[] = {0, 1};
  const ddpm_rt::Options asked = {.first = (1ULL << 32) - 1, .count = 5, .batch = 2};
  auto labelled = asked;
  labelled.labels = both;
  CHECK(furthest(sampler.sample(asked), sampler.sample(labelled)) == 0);
  auto guided = asked, both_guided = labelled;
  guided.guidance = both_guided.guidance = 3;
  CHECK(furthest(sampler.sample(guided), sampler.sample(both_guided)) == 0);
}

TEST_CASE(
    "two samplers in two threads draw what each draws alone, and errors stay in their thread") {
  const auto expected = opened().sample({.seed = 5, .count = 4});
  std::vector<float> found[2];
  std::string errors[2];
  const auto work = [&](int which) {
    auto sampler = opened();
    found[which] = sampler.sample({.seed = 5, .count = 4});
    ddpm_rt_open(which == 0 ? "first" : "second", file("ddpm.steps.json").c_str(), nullptr,
                 nullptr);
    ddpm_rt_sampler* none;
    ddpm_rt_open(which == 0 ? "first" : "second", file("ddpm.steps.json").c_str(), nullptr, &none);
    errors[which] = ddpm_rt_last_error();
  };
  std::thread first(work, 0), second(work, 1);
  first.join();
  second.join();
  for (int which : {0, 1}) {
    CHECK(furthest(found[which], expected) == 0);
    CHECK(has(errors[which], which == 0 ? "first" : "second"));
  }
}
