// Latents and their decoder.
#include <filesystem>

#include "library.hpp"
#include "temporary_folder.hpp"

TEST_CASE("a decoder turns latents into images") {
  auto sampler = opened("latents.onnx", "latents.steps.json");
  CHECK(sampler.info().is_latent == 1);
  CHECK(sampler.info().is_picture == 0);
  CHECK(sampler.decoded_shape() == std::vector<std::size_t>{3, 4, 6});
  const auto latents = sampler.sample({.seed = 1, .count = 2});
  const auto images = sampler.decode(latents);
  REQUIRE(images.size() == 2 * 3 * 4 * 6);
  for (std::size_t i = 0; i < images.size(); ++i) {
    const std::size_t x = i % 6, y = i / 6 % 4, c = i / 24 % 3, n = i / 72;
    const float latent = latents[n * 24 + c * 6 + y / 2 * 3 + x / 2];
    CHECK(images[i] == latent / 2.0F + 0.5F + 0.25F);
  }
}

TEST_CASE("what has no decoder, a missing decoder and a file that is none are refused") {
  const auto refused = [](ddpm_rt::Sampler sampler) {
    try {
      sampler.decoded_shape();
      return std::string("it was opened");
    } catch (const ddpm_rt::Error& error) {
      return std::string(error.what());
    }
  };
  const std::string model = content("latents.onnx"), steps = content("latents.steps.json");
  CHECK(has(refused(opened()), "draws no latents"));
  CHECK(has(refused(ddpm_rt::Sampler::from_memory(bytes(model), bytes(steps))),
            "a model in memory has no decoder beside it"));
  const TemporaryFolder folder;
  const std::string alone = folder.write("latents.onnx", model);
  const auto open = [&] { return ddpm_rt::Sampler(alone, file("latents.steps.json")); };
  CHECK(has(refused(open()), "decoder.onnx cannot be read"));
  folder.write("decoder.onnx", "no model");
  CHECK(has(refused(open()), "cannot be opened by ONNX Runtime"));
  folder.write("decoder.onnx", content("classes.onnx"));
  CHECK(has(refused(open()), "it must have one input and one output"));
  auto sampler = opened("latents.onnx", "latents.steps.json");
  std::vector<float> latents(24), images(71);
  CHECK_THROWS_AS(sampler.decode({}), ddpm_rt::Error);
  ddpm_rt_sampler* plain = nullptr;
  REQUIRE(ddpm_rt_open(file("latents.onnx").c_str(), file("latents.steps.json").c_str(), nullptr,
                       &plain) == DDPM_RT_OK);
  CHECK(ddpm_rt_decode(plain, latents.data(), 1, images.data(), images.size()) ==
        DDPM_RT_INVALID_ARGUMENT);
  CHECK(has(ddpm_rt_last_error(), "room for 1 x 72 floats"));
  ddpm_rt_close(plain);
}
