#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "allocations.hpp"
#include "edit.hpp"
#include "error.hpp"
#include "golden.hpp"
#include "host_loop.hpp"

namespace {

using ddpm_rt::Buffers;

// answer() of make_golden.py: a number that is exact in float32, from row, image, element and
// class. A network with self-conditioning adds half of the x0 of the step before.
class Answers final : public ddpm_rt::Call {
 public:
  Answers(const Buffers& buffers, std::size_t size, std::size_t images)
      : buffers_(buffers), size_(size), images_(images) {}

  void run() override {
    for (std::size_t image = 0; image < buffers_.batch; ++image)
      for (std::size_t place = 0; place < size_; ++place) {
        const auto label = buffers_.y == nullptr ? 0 : static_cast<std::size_t>(buffers_.y[image]);
        const auto sum = 31 * row_ + 17 * place + 5 * (image % images_) + 7 * label;
        float& out = buffers_.out[image * size_ + place];
        out = (static_cast<float>(sum % 41) - 20) / 16;
        if (!buffers_.inputs.empty()) out += 0.5F * before(image * size_ + place);
      }
    if (row_ == poisoned) buffers_.out[size_ * buffers_.batch - 1] = poison;
    ++row_;
  }

  std::size_t poisoned = std::numeric_limits<std::size_t>::max();
  float poison = 0;

 private:
  float before(std::size_t place) const {
    float value;
    std::memcpy(&value, buffers_.inputs[0] + place * sizeof value, sizeof value);
    return value;
  }

  const Buffers buffers_;
  const std::size_t size_, images_;
  std::size_t row_ = 0;
};

class AnswersEngine final : public ddpm_rt::Engine {
 public:
  AnswersEngine(const ddpm_rt::Model& model, std::size_t images) : images_(images) {
    card_.model = model;
  }
  const ddpm_rt::Card& card() const override { return card_; }
  bool whole_times() const override { return false; }
  std::unique_ptr<ddpm_rt::Call> bind(const Buffers& buffers) override {
    auto call = std::make_unique<Answers>(buffers, card_.model.output(), images_);
    last = call.get();
    return call;
  }

  Answers* last = nullptr;

 private:
  ddpm_rt::Card card_;
  std::size_t images_;
};

struct TestChain {
  ddpm_rt::StepsFile steps;
  ddpm_rt::Samples samples;
  ddpm_rt::Conditions conditions;
  AnswersEngine engine;
};

TestChain chain(const nlohmann::json& asked, const std::string& name) {
  const auto steps = ddpm_rt::parse_steps(golden_text(name + ".steps.json"), name);
  const std::size_t count = asked.at("count");
  ddpm_rt::Conditions conditions;
  if (steps.model.classes >= 0)
    conditions = {asked.at("labels").get<std::vector<std::int64_t>>(),
                  asked.at("guidance").get<float>()};
  return {steps, {asked.at("seed"), asked.at("first"), count}, conditions, {steps.model, count}};
}

ddpm_rt::HostLoop finished(TestChain& chain) {
  ddpm_rt::HostLoop loop(chain.engine, chain.steps, chain.samples, chain.conditions);
  loop.start();
  while (loop.row() < chain.steps.rows.size()) loop.step();
  return loop;
}

}  // namespace

TEST_CASE("given the same answers of the network, every table ends in Python's bits") {
  std::size_t chains = 0;
  for (const std::string folder : {"", "format2/"}) {
    const auto asked = golden(folder + "chains.json");
    for (const auto& known : asked.at("chains")) {
      TestChain run = chain(asked, folder + known.at("name").get<std::string>());
      CAPTURE(folder + known.at("name").get<std::string>());
      const auto loop = finished(run);
      REQUIRE(loop.x0().size() == known.at("x0").size());
      for (std::size_t i = 0; i < loop.x0().size(); ++i) {
        CHECK(bits(loop.x()[i]) == known.at("x").at(i));
        CHECK(bits(loop.x0()[i]) == known.at("x0").at(i));
      }
      ++chains;
    }
  }
  CHECK(chains == 28);
}

TEST_CASE("edits end in Python's bits") {
  const auto asked = golden("chains.json");
  std::vector<float> images(2 * 15);
  for (std::size_t i = 0; i < images.size(); ++i)
    images[i] = (static_cast<float>(37 * i % 33) - 16) / 16;
  std::vector<std::uint8_t> mask(15);
  for (std::size_t i = 0; i < mask.size(); ++i) mask[i] = i % 3 == 0 ? 1 : 0;
  for (const auto& known : golden("edits.json")) {
    const auto folder = known.at("folder").get<std::string>();
    const auto name = (folder.empty() ? "" : folder + "/") + known.at("name").get<std::string>();
    CAPTURE(name);
    TestChain run = chain(asked, name);
    const auto card = ddpm_rt::read_card(
        golden_text(folder.empty() ? std::string("card.json") : name + ".card.json"), name);
    ddpm_rt_sample_options options = DDPM_RT_SAMPLE_OPTIONS;
    options.first = run.samples.first;
    options.count = options.init_count = run.samples.count;
    options.init_images = images.data();
    options.strength = known.at("strength");
    options.resample = known.at("resample");
    if (known.at("masked").get<bool>()) options.mask = mask.data();
    ddpm_rt::Edit edit(options, run.steps, card);
    ddpm_rt::HostLoop loop(run.engine, run.steps, run.samples, run.conditions);
    const long before = allocations();
    loop.start(&edit);
    while (loop.row() < run.steps.rows.size()) loop.step();
    CHECK(allocations() - before == 0);
    REQUIRE(loop.x().size() == known.at("x").size());
    for (std::size_t i = 0; i < loop.x().size(); ++i)
      CHECK(bits(loop.x()[i]) == known.at("x").at(i));
  }
}

TEST_CASE("no step allocates memory") {
  const auto asked = golden("chains.json");
  for (const char* name : {"ddpm", "ddpm-learned-range", "dpm-sde", "guided", "format2/sigma-noise",
                           "format2/self-conditioned-guided"}) {
    TestChain run = chain(asked, name);
    ddpm_rt::HostLoop loop(run.engine, run.steps, run.samples, run.conditions);
    const long before = allocations();
    loop.start();
    while (loop.row() < run.steps.rows.size()) loop.step();
    CHECK(allocations() - before == 0);
    CHECK(before > 0);
  }
}

TEST_CASE("an output that is not finite stops the chain at the step that the sentence names") {
  const auto asked = golden("chains.json");
  for (const float poison : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    TestChain run = chain(asked, "ddpm");
    ddpm_rt::HostLoop loop(run.engine, run.steps, run.samples, run.conditions);
    loop.start();
    run.engine.last->poisoned = 2;
    run.engine.last->poison = poison;
    loop.step();
    loop.step();
    const std::string sentence = "the network's output is not finite at step 2, t = " +
                                 ddpm_rt::time_text(run.steps.rows[2].t) + ", for sample " +
                                 std::to_string(run.samples.first + run.samples.count - 1) +
                                 "; check the model";
    CHECK_THROWS_WITH_AS(loop.step(), sentence.c_str(), ddpm_rt::Failure);
  }
}

TEST_CASE(
    "an image that becomes infinite in the last step is refused, though the output is finite") {
  const auto asked = golden("chains.json");
  TestChain run = chain(asked, "ddpm");
  run.steps.clip.reset();
  run.steps.rows.back().x0_from_out = 10;
  run.steps.rows.back().mean_from_x0 = 1;
  ddpm_rt::HostLoop loop(run.engine, run.steps, run.samples, run.conditions);
  loop.start();
  run.engine.last->poisoned = run.steps.rows.size() - 1;
  run.engine.last->poison = 3e38F;
  while (loop.row() + 1 < run.steps.rows.size()) loop.step();
  const std::string message = "the image of sample " +
                              std::to_string(run.samples.first + run.samples.count - 1) +
                              " is not finite after the last step; check the model";
  CHECK_THROWS_WITH_AS(loop.step(), message.c_str(), ddpm_rt::Failure);
}

TEST_CASE("a sample is the same in any batch") {
  const auto asked = golden("chains.json");
  TestChain both = chain(asked, "ddpm");
  std::vector<float> x(both.steps.model.image());
  ddpm_rt::normals(both.samples.seed, both.samples.first + 1, 0xFFFFFFFF, x.size(), x.data());
  ddpm_rt::HostLoop loop(both.engine, both.steps, both.samples, both.conditions);
  loop.start();
  for (std::size_t i = 0; i < x.size(); ++i) CHECK(bits(loop.x()[x.size() + i]) == bits(x[i]));
}

TEST_CASE("the library's own noise is exact") { CHECK(ddpm_rt::noise_is_exact()); }
