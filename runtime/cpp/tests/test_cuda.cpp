// Draws images of a plan on the stand-ins for the driver and TensorRT, and compares the GPU loop
// with the host loop.
#include <cstring>
#include <functional>
#include <optional>
#include <thread>

#include "edit.hpp"
#include "host_loop.hpp"
#include "library.hpp"
#include "plan_record.hpp"
#include "stand_in.hpp"
#include "toy.hpp"

namespace {

class ToyCall final : public ddpm_rt::Call {
 public:
  ToyCall(const ddpm_rt::Buffers& buffers, const ddpm_rt::Model& model)
      : buffers_(buffers), model_(model) {}
  void run() override {
    for (std::size_t image = 0; image < buffers_.batch; ++image) {
      float* const out = buffers_.out + image * model_.output();
      toy(buffers_.x + image * model_.image(), static_cast<float>(buffers_.t[image]),
          buffers_.y == nullptr ? 0 : buffers_.y[image], model_.image(), model_.output(), out);
      for (std::size_t i = 0; i < model_.inputs.size(); ++i) add_input(i, image, out);
    }
  }

 private:
  void add_input(std::size_t i, std::size_t image, float* out) const {
    const ddpm_rt::Input& input = model_.inputs[i];
    const std::size_t numbers = input.numbers(), size = model_.image();
    const std::byte* const entry = buffers_.inputs[i] + image * input.bytes();
    if (input.type == ddpm_rt::InputType::INT64)
      return toy_input(reinterpret_cast<const std::int64_t*>(entry), numbers, size, out);
    if (input.type == ddpm_rt::InputType::INT32)
      return toy_input(reinterpret_cast<const std::int32_t*>(entry), numbers, size, out);
    toy_input(reinterpret_cast<const float*>(entry), numbers, size, out);
  }

  const ddpm_rt::Buffers buffers_;
  const ddpm_rt::Model& model_;
};

class ToyEngine final : public ddpm_rt::Engine {
 public:
  explicit ToyEngine(const ddpm_rt::Card& card) : card_(card) {}
  const ddpm_rt::Card& card() const override { return card_; }
  bool whole_times() const override { return false; }
  std::unique_ptr<ddpm_rt::Call> bind(const ddpm_rt::Buffers& buffers) override {
    return std::make_unique<ToyCall>(buffers, card_.model);
  }

 private:
  const ddpm_rt::Card card_;
};

using Values = std::vector<std::pair<std::string, std::vector<double>>>;  // of named inputs

ddpm_rt::InputBytes bytes_of(const ddpm_rt::Model& model, const Values& values,
                             const ddpm_rt::Options& asked) {
  ddpm_rt::GivenInputs given(model);
  for (const auto& [name, numbers] : values)
    given.set(name, DDPM_RT_FLOAT64, numbers.data(), numbers.size());
  return given.of_samples(asked.first, asked.count);
}

// The images of the host loop with the same network. Appends x0 of every step to `x0`.
std::vector<float> on_host(const std::string& plan, const std::string& steps_file,
                           const ddpm_rt::Options& asked,
                           std::vector<std::vector<float>>* x0 = nullptr, const Values& inputs = {},
                           const Values& null_inputs = {}) {
  const auto steps = ddpm_rt::read_steps(file(steps_file));
  ToyEngine engine(ddpm_rt::read_plan_record({.name = file(plan)}).card);
  ddpm_rt::Conditions conditions = {{}, static_cast<float>(asked.guidance)};
  for (std::size_t n = 0; n < asked.count && !asked.labels.empty(); ++n)
    conditions.classes.push_back(asked.labels[(asked.first + n) % asked.labels.size()]);
  conditions.inputs = bytes_of(steps.model, inputs, asked);
  conditions.null_inputs = bytes_of(steps.model, null_inputs, asked);
  ddpm_rt::HostLoop loop(engine, steps, {asked.seed, asked.first, asked.count}, conditions);
  ddpm_rt_sample_options options = DDPM_RT_SAMPLE_OPTIONS;
  options.first = asked.first;
  options.count = asked.count;
  options.strength = asked.strength;
  options.init_images = asked.init_images.empty() ? nullptr : asked.init_images.data();
  options.init_count = asked.init_images.size() / steps.model.image();
  options.init_noise = asked.init_noise.empty() ? nullptr : asked.init_noise.data();
  std::optional<ddpm_rt::Edit> edit;
  if (ddpm_rt::Edit::is_asked(options)) edit.emplace(options, steps, engine.card());
  loop.start(edit ? &*edit : nullptr);
  while (loop.row() < steps.rows.size()) {
    loop.step();
    if (x0 != nullptr) x0->push_back(loop.x0());
  }
  return {loop.x().begin(),
          loop.x().begin() + static_cast<std::ptrdiff_t>(asked.count * steps.model.image())};
}

bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

std::string refusal(const std::function<void()>& call) {
  try {
    call();
    return "";
  } catch (const ddpm_rt::Error& error) {
    return error.what();
  }
}

std::size_t count(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<std::size_t>(std::count(names.begin(), names.end(), name));
}

}  // namespace

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
    try {
      ddpm_rt::Sampler::from_memory(bytes(plan), bytes(steps), {}, bytes(record));
      return std::string("it was opened");
    } catch (const ddpm_rt::Error& error) {
      return std::string(error.what());
    }
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
