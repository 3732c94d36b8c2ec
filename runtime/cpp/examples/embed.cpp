// embed MODEL [STEPS]: draws four samples of seed 7; prints a line per step and the mean of each
// image.
#include <cstdio>
#include <ddpm_rt.hpp>
#include <numeric>

int main(int argc, char** argv) try {
  if (argc != 2 && argc != 3) return std::fprintf(stderr, "embed MODEL [STEPS]\n"), 2;
  ddpm_rt::Sampler sampler =
      argc == 3 ? ddpm_rt::Sampler(argv[1], argv[2]) : ddpm_rt::Sampler(argv[1]);
  const ddpm_rt_info info = sampler.info();
  std::printf("%u x %u x %u, %s\n", info.channels, info.height, info.width, info.sampler);

  ddpm_rt::Options options = {.seed = 7, .count = 4, .batch = 4};
  options.progress = [](const ddpm_rt_step& step) {
    std::printf("step %u of %u, t = %d: %.1f ms\n", step.row + 1, step.steps, int(step.t),
                step.seconds * 1e3);
    return true;  // false cancels
  };
  const std::vector<float> images = sampler.sample(options);  // [4, C, H, W], in [-1, 1]

  const std::size_t size = sampler.image_size();
  for (std::size_t i = 0; i < options.count; ++i)
    std::printf("sample %zu: mean %.5f\n", i,
                std::accumulate(&images[i * size], &images[i * size] + size, 0.0) / double(size));
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
