// ddpm-rt-cpp: `ddpm-rt sample` without Python.
#include <chrono>
#include <cstdio>
#include <ddpm_rt.hpp>

#include "arguments.hpp"
#include "output.hpp"

namespace {

using Clock = std::chrono::steady_clock;

void run(const Arguments& asked) {
  ddpm_rt::Sampler sampler(asked.engine, asked.steps, asked.open);
  const ddpm_rt_info info = sampler.info();
  ddpm_rt::Options options = {
      .seed = asked.seed, .first = asked.first, .count = asked.count, .batch = asked.batch};
  options.labels = asked.labels;
  options.guidance = asked.guidance;
  double engine = 0;
  options.progress = [&](const ddpm_rt_step& step) {
    engine += step.engine_seconds;
    if (!asked.quiet)
      std::fprintf(stderr, "\r%llu of %llu steps", static_cast<unsigned long long>(step.done),
                   static_cast<unsigned long long>(step.total));
    return true;
  };
  const auto before = Clock::now();
  const auto values = sampler.sample(options);
  const double whole = std::chrono::duration<double>(Clock::now() - before).count();
  const Images images = {values, asked.count, info.channels, info.height, info.width};
  asked.out.ends_with(".png") ? write_png(asked.out, images) : write_npy(asked.out, images);
  std::fprintf(stderr, "%s%s: %llu images of seed %llu, %.3f s", asked.quiet ? "" : "\r",
               asked.out.c_str(), static_cast<unsigned long long>(asked.count),
               static_cast<unsigned long long>(asked.seed), whole);
  if (engine > 0) std::fprintf(stderr, ", of which the network took %.3f s", engine);
  std::fprintf(stderr, " (%s)\n", info.sampler);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const Arguments asked = parse_arguments({argv + 1, argv + argc});
    if (asked.help) {
      std::fputs(USAGE, stdout);
      return 0;
    }
    run(asked);
    return 0;
  } catch (const UsageError& error) {
    std::fprintf(stderr, "ddpm-rt-cpp: %s\n\n%s", error.what(), USAGE);
    return 2;
  } catch (const ddpm_rt::Error& error) {
    std::fprintf(stderr, "ddpm-rt-cpp: %s\n", error.what());
    return error.status() == DDPM_RT_INVALID_ARGUMENT ? 2 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "ddpm-rt-cpp: %s\n", error.what());
    return 1;
  }
}
