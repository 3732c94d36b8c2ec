// Image to image, masks and given noise. scripts/cpp_compare.py compares the images with Python's.
#include <cmath>
#include <cstdint>

#include "library.hpp"

namespace {

constexpr std::size_t SIZE = 24;  // of an image of gaussian.onnx, [1, 4, 6]

std::vector<float> image(std::size_t count = 1) {
  std::vector<float> values(count * SIZE);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(static_cast<float>(i));
  return values;
}

std::string refusal(const ddpm_rt::Options& asked, const std::string& model = "gaussian",
                    const std::string& steps = "ddpm") {
  try {
    opened(model + ".onnx", steps + ".steps.json").sample(asked);
    return "it was drawn";
  } catch (const ddpm_rt::Error& error) {
    CHECK(error.status() == DDPM_RT_INVALID_ARGUMENT);
    return error.what();
  }
}

}  // namespace

TEST_CASE(
    "one step from an image stays closer to it than many, and all steps are those from noise") {
  auto sampler = opened();
  const auto start = image();
  ddpm_rt::Options asked = {.seed = 7, .count = 3, .batch = 2, .init_images = start};
  float before = 0;
  for (const double strength : {0.05, 0.8}) {
    asked.strength = strength;
    std::uint64_t rows = 0;
    asked.progress = [&](const ddpm_rt_step& step) {
      CHECK(step.total == 2 * static_cast<std::uint64_t>(std::nearbyint(20 * strength)));
      CHECK(step.done == ++rows);
      return true;
    };
    const auto drawn = sampler.sample(asked);
    float far = 0;  // the sum of squares
    for (std::size_t i = 0; i < SIZE; ++i) far += (drawn[i] - start[i]) * (drawn[i] - start[i]);
    CHECK(far > 2 * before);
    before = far;
  }
  asked.strength = 1;
  asked.progress = {};
  CHECK(furthest(sampler.sample(asked), sampler.sample({.seed = 7, .count = 3, .batch = 2})) == 0);
}

TEST_CASE("kept pixels are the image to the bit, and neither batch nor first changes an image") {
  auto sampler = opened();
  const auto starts = image(5);
  std::vector<std::uint8_t> mask(SIZE);
  for (std::size_t i = 0; i < SIZE; ++i) mask[i] = i % 3 == 0 ? 255 : 0;
  for (const std::uint64_t resample : {0, 3}) {
    const ddpm_rt::Options asked = {.seed = 2,
                                    .first = 4,
                                    .count = 5,
                                    .batch = 5,
                                    .init_images = starts,
                                    .mask = mask,
                                    .resample = resample};
    const auto whole = sampler.sample(asked);
    for (std::size_t i = 0; i < whole.size(); ++i)
      CHECK((whole[i] == starts[i]) == (mask[i % SIZE] == 0));
    auto small = asked;
    small.batch = 2;
    CHECK(furthest(sampler.sample(small), whole) <= 1e-6F);
    small.first = 7, small.count = 2;
    small.init_images = std::span(starts).subspan(3 * SIZE);
    CHECK(furthest(sampler.sample(small), {whole.begin() + 3 * SIZE, whole.end()}) <= 1e-6F);
  }
}

TEST_CASE("an edit of a model with classes has the null class, unless there are labels") {
  auto sampler = opened("classes.onnx", "classes.steps.json");
  const auto start = image();
  const std::int64_t null_class[] = {2}, other[] = {1};
  ddpm_rt::Options asked = {.count = 2, .init_images = start};
  const auto drawn = sampler.sample(asked);
  asked.labels = null_class;
  CHECK(furthest(sampler.sample(asked), drawn) == 0);
  asked.labels = other;
  CHECK(furthest(sampler.sample(asked), drawn) > 0.001F);
}

TEST_CASE("given noise replaces x_T") {
  auto sampler = opened("gaussian.onnx", "ddim.steps.json");
  const auto noise = image(3);
  const ddpm_rt::Options asked = {.seed = 1, .count = 3, .batch = 2, .init_noise = noise};
  const auto drawn = sampler.sample(asked);
  auto other_seed = asked;
  other_seed.seed = 2;  // ddim without eta has no other noise
  CHECK(furthest(sampler.sample(other_seed), drawn) == 0);
  CHECK(furthest(sampler.sample({.seed = 1, .count = 3}), drawn) > 0.01F);
}

TEST_CASE("edits that cannot be are the caller's mistakes") {
  const auto one = image(), three = image(3);
  const std::vector<std::uint8_t> mask(SIZE, 1), nothing(SIZE, 0);
  std::vector<float> infinite = one;
  infinite[5] = HUGE_VALF;
  CHECK(has(refusal({.strength = 0.5}), "are options of init_images"));
  CHECK(has(refusal({.mask = mask}), "are options of init_images"));
  CHECK(has(refusal({.init_images = one, .init_noise = one}), "either init_images or init_noise"));
  CHECK(has(refusal({.count = 2, .init_images = three}), "one for each of the 2 samples, not 3"));
  CHECK(has(refusal({.init_images = infinite}), "not finite"));
  CHECK(has(refusal({.init_noise = infinite}), "not finite"));
  for (const double strength : {-0.5, 1.5, double{NAN}, HUGE_VAL})
    CHECK(has(refusal({.init_images = one, .strength = strength}), "must lie in (0, 1]"));
  CHECK(has(refusal({.init_images = one, .mask = nothing}), "marks no pixel"));
  CHECK(has(refusal({.init_images = one, .resample = 2}), "resample needs a mask"));
  CHECK(has(refusal({.init_images = one, .mask = mask, .resample = 1001}), "at most 1000"));
  CHECK(has(refusal({.init_images = one, .mask = mask, .resample = 2}, "gaussian", "dpm"),
            "a sampler without history"));
  CHECK_THROWS_AS(opened().sample({.init_images = std::span(three).first(30)}),
                  std::invalid_argument);
  CHECK_THROWS_AS(opened().sample({.init_images = one, .mask = std::span(mask).first(5)}),
                  std::invalid_argument);
  CHECK_THROWS_AS(opened().sample({.count = 2, .init_noise = three}), std::invalid_argument);
}
