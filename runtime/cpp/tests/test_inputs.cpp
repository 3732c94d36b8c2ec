// Named inputs, and models of other kinds than images of timesteps.
#include <cmath>
#include <cstdint>
#include <limits>

#include "library.hpp"

namespace {

std::string refusal(const std::function<void()>& call) {
  try {
    call();
    return "";
  } catch (const ddpm_rt::Error& error) {
    CHECK(error.status() == DDPM_RT_INVALID_ARGUMENT);
    return error.what();
  }
}

ddpm_rt::Sampler noise_levels(const std::string& type, const std::string& sampler = "dpm") {
  return opened("sigma-" + type + ".onnx", "sigma-" + type + "-" + sampler + ".steps.json");
}

}  // namespace

TEST_CASE("a sampler tells the shape of its samples and its named inputs") {
  const auto sampler = opened("sequence.onnx", "sequence-ddim.steps.json");
  const auto info = sampler.info();
  CHECK(sampler.shape() == std::vector<std::size_t>{2, 256});
  CHECK(sampler.image_size() == 512);
  CHECK(info.channels * info.height * info.width == 512);
  CHECK(info.is_picture == 0);
  CHECK(info.is_latent == 0);
  const auto inputs = sampler.inputs();
  REQUIRE(inputs.size() == 1);  // the previous x0 is given by the loop
  CHECK(std::string(inputs[0].name) == "low_res");
  CHECK(inputs[0].type == DDPM_RT_FLOAT32);
  CHECK(inputs[0].rank == 2);
  CHECK(inputs[0].shape[1] == 256);
  CHECK(opened("volume.onnx", "volume-ddpm.steps.json").shape() ==
        std::vector<std::size_t>{1, 32, 32, 32});
  CHECK(opened().info().is_picture == 1);
  CHECK(noise_levels("int64").inputs()[0].type == DDPM_RT_INT64);
  CHECK(noise_levels("int32").inputs()[0].rank == 0);
  ddpm_rt_input input = DDPM_RT_INPUT;
  CHECK(ddpm_rt_describe_input(nullptr, 0, &input) == DDPM_RT_INVALID_ARGUMENT);
}

TEST_CASE("a number is broadcast, and sample n takes entry n modulo their count") {
  auto sampler = opened("volume.onnx", "volume-ddpm.steps.json");
  const std::size_t size = sampler.image_size();
  std::vector<float> entries(3 * size);
  for (std::size_t i = 0; i < entries.size(); ++i) entries[i] = std::sin(static_cast<float>(i));
  sampler.set_input("low_res", entries);
  const ddpm_rt::Options asked = {.seed = 3, .count = 7, .batch = 7};
  const auto whole = sampler.sample(asked);
  CHECK(furthest(sampler.sample({.seed = 3, .count = 7, .batch = 2}), whole) <= 1e-6F);
  CHECK(furthest(sampler.sample({.seed = 3, .first = 5, .count = 2}),
                 {whole.begin() + static_cast<std::ptrdiff_t>(5 * size), whole.end()}) <= 1e-6F);
  const auto second = static_cast<std::ptrdiff_t>(size);
  sampler.set_input("low_res",
                    std::vector<float>(entries.begin() + second, entries.begin() + 2 * second));
  const auto alone = sampler.sample({.seed = 3, .first = 4, .count = 1});
  CHECK(furthest(alone, {whole.begin() + 4 * second, whole.begin() + 5 * second}) <= 1e-6F);
  sampler.set_input("low_res", 0.25);
  const auto broadcast = sampler.sample(asked);
  sampler.set_input("low_res", std::vector<double>(size, 0.25));
  CHECK(furthest(broadcast, sampler.sample(asked)) == 0);
}

TEST_CASE("integer inputs take whole numbers of any type, and give the images of float inputs") {
  auto floats = noise_levels("float32"), longs = noise_levels("int64"),
       ints = noise_levels("int32");
  const std::vector<std::int64_t> levels = {42, 7};
  floats.set_input("difficulty", levels);
  longs.set_input("difficulty", std::vector<float>{42, 7});
  ints.set_input("difficulty", std::vector<double>{42, 7});
  const ddpm_rt::Options asked = {.seed = 1, .count = 3, .batch = 2};
  const auto expected = floats.sample(asked);
  CHECK(furthest(longs.sample(asked), expected) == 0);
  CHECK(furthest(ints.sample(asked), expected) == 0);
}

TEST_CASE("a process of noise levels, in many steps and in one") {
  for (const char* sampler : {"dpm", "euler-a", "consistency"}) {
    auto model = noise_levels("float32", sampler);
    model.set_input("difficulty", 42.0);
    std::vector<double> times;
    ddpm_rt::Options asked = {.count = 2};
    asked.progress = [&](const ddpm_rt_step& step) {
      CHECK(step.t == static_cast<std::int64_t>(step.time));
      times.push_back(step.time);
      return true;
    };
    const auto images = model.sample(asked);
    CHECK(times.front() == 80.0);
    CHECK(std::is_sorted(times.rbegin(), times.rend()));
    for (const float value : images) CHECK(std::abs(value) < 4);
  }
}

TEST_CASE("guidance with null inputs, without a null class") {
  auto sampler = opened("image.onnx", "image-ddim.steps.json");
  sampler.set_input("low_res", 0.5);
  const ddpm_rt::Options guided = {.seed = 1, .count = 2, .guidance = 1.5};
  CHECK(has(refusal([&] { sampler.sample(guided); }), "set null inputs"));
  const auto plain = sampler.sample({.seed = 1, .count = 2});
  sampler.set_null_input("low_res", 0.5);
  CHECK(furthest(sampler.sample(guided), plain) <= 1e-6F);  // the same in both halves
  sampler.set_null_input("low_res", 0.0);
  CHECK(furthest(sampler.sample(guided), plain) > 0.01F);
  CHECK(furthest(sampler.sample({.seed = 1, .count = 2}), plain) == 0);
}

TEST_CASE("a graph of a fixed batch gets the inputs of its samples") {
  auto any = opened("sequence.onnx", "sequence-ddpm.steps.json");
  auto fixed = opened("fixed_sequence.onnx", "sequence-ddpm.steps.json");
  std::vector<double> entries(3 * 512);
  for (std::size_t i = 0; i < entries.size(); ++i) entries[i] = std::cos(static_cast<double>(i));
  for (auto* sampler : {&any, &fixed}) sampler->set_input("low_res", entries);
  const ddpm_rt::Options asked = {.seed = 2, .count = 5, .batch = 5};
  CHECK(furthest(any.sample(asked), fixed.sample(asked)) <= 1e-6F);
}

TEST_CASE("values that do not fit are the caller's mistakes, and an input without a value too") {
  auto sampler = opened("sequence.onnx", "sequence-ddim.steps.json");
  CHECK(has(refusal([&] { sampler.sample({}); }),
            "the model needs input 'low_res', float32 [2, 256] for each sample"));
  CHECK(has(refusal([&] { sampler.set_input("lowres", 1.0); }),
            "the model has no input 'lowres' to be given; they are low_res"));
  CHECK(has(refusal([&] { sampler.set_input("before", 1.0); }), "no input 'before'"));
  CHECK(has(refusal([&] { opened().set_input("x", 1.0); }), "it has none"));
  CHECK(has(refusal([&] { sampler.set_input("low_res", std::vector<float>(513)); }),
            "a multiple of 512 numbers, not 513"));
  CHECK(has(refusal([&] { sampler.set_input("low_res", std::nan("")); }), "finite numbers"));
  CHECK(has(refusal([&] { sampler.set_input("low_res", 1e39); }), "float32 cannot hold"));
  auto levels = noise_levels("int32");
  for (const double wrong : {0.5, 2147483648.0, -2147483649.0, 1e300})
    CHECK(has(refusal([&] { levels.set_input("difficulty", wrong); }),
              "must be of integers that int32 can hold"));
  CHECK(has(refusal([&] { noise_levels("int64").set_input("difficulty", 9223372036854775808.0); }),
            "integers that int64 can hold"));
  CHECK_NOTHROW(levels.set_input("difficulty", -2147483648.0));
  CHECK_NOTHROW(levels.set_input("difficulty", std::int64_t{2147483647}));
  levels.set_input("difficulty", std::span<const float>());  // removes the value
  CHECK(has(refusal([&] { levels.sample({}); }), "the model needs input 'difficulty', int32 []"));
  CHECK(ddpm_rt_set_input(nullptr, "x", DDPM_RT_FLOAT32, nullptr, 0) == DDPM_RT_INVALID_ARGUMENT);
}

TEST_CASE("fractional timesteps need a network that takes t as float32") {
  CHECK(opened("fractional.onnx", "fractional.steps.json").sample({.count = 1}).size() == 24);
  CHECK_THROWS_WITH_AS(
      opened("fractional_int64.onnx", "fractional.steps.json"),
      (file("fractional.steps.json") + " has fractional times, and the network of " +
       file("fractional_int64.onnx") + " takes integers; choose another spacing, or list timesteps")
          .c_str(),
      ddpm_rt::Error);
}
