// ddpm-rt-cpp: `ddpm-rt sample` without Python.
#include <chrono>
#include <cstdio>
#include <ddpm_rt.hpp>
#include <new>

#include "arguments.hpp"
#include "interrupt.hpp"
#include "named_inputs.hpp"
#include "npy_file.hpp"
#include "one_line.hpp"
#include "output.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t MAX_FLOATS = std::size_t{1} << 30;  // 4 GiB of images, held in memory

struct Interrupted {};

void print_version() {
  std::printf("ddpm-rt-cpp %s\nproviders:", ddpm_rt_version());
  for (const ddpm_rt_provider provider : ddpm_rt::providers())
    std::printf(" %s", ddpm_rt_provider_name(provider));
  std::printf("\n");
}

bool is_png(const Arguments& asked) { return asked.out.ends_with(".png"); }

// What will be drawn, still without values.
Images described(const Arguments& asked, const ddpm_rt_info& info) {
  return {{},
          {info.shape, info.shape + info.rank},
          asked.count,
          info.is_picture != 0,
          info.is_latent != 0};
}

// Throws before anything is drawn.
void check_output(const Arguments& asked, const Images& images, std::size_t size) {
  if (asked.count == 0) throw UsageError("--count must be at least 1");
  if (asked.count > MAX_FLOATS / size)
    throw UsageError("--count must be at most " + std::to_string(MAX_FLOATS / size) +
                     " for images of this size; draw the rest with --first");
  if (is_png(asked)) check_png(images);
}

void write(const Arguments& asked, const Images& images) {
  if (is_png(asked)) return write_png(asked.out, images);
  std::vector<std::size_t> shape = {images.count};
  shape.insert(shape.end(), images.shape.begin(), images.shape.end());
  write_npy(asked.out, shape, images.values);
}

void print_result(const Arguments& asked, double seconds, double engine_seconds,
                  const char* sampler) {
  std::fprintf(stderr, "%s%s: %llu images of seed %llu, %.3f s", asked.quiet ? "" : "\r",
               asked.out.c_str(), static_cast<unsigned long long>(asked.count),
               static_cast<unsigned long long>(asked.seed), seconds);
  if (engine_seconds > 0)
    std::fprintf(stderr, ", of which the network took %.3f s", engine_seconds);
  std::fprintf(stderr, " (%s)\n", sampler);
}

void run(const Arguments& asked) {
  ddpm_rt::Sampler sampler(asked.model, asked.steps, asked.open);
  const ddpm_rt_info info = sampler.info();
  Images images = described(asked, info);
  check_output(asked, images, sampler.image_size());
  set_inputs(sampler, asked.inputs, asked.null_inputs);
  ddpm_rt::Options options = {
      .seed = asked.seed, .first = asked.first, .count = asked.count, .batch = asked.batch};
  options.labels = asked.labels;
  options.guidance = asked.guidance;
  double engine_seconds = 0;
  options.progress = [&](const ddpm_rt_step& step) {
    if (interrupted_by() != 0) throw Interrupted();
    engine_seconds += step.engine_seconds;
    if (!asked.quiet)
      std::fprintf(stderr, "\r%llu of %llu steps", static_cast<unsigned long long>(step.done),
                   static_cast<unsigned long long>(step.total));
    return true;
  };
  const auto before = Clock::now();
  const auto values = sampler.sample(options);
  const double seconds = std::chrono::duration<double>(Clock::now() - before).count();
  images.values = values;
  write(asked, images);
  print_result(asked, seconds, engine_seconds, info.sampler);
}

int fail(const char* message, int code) {
  std::fprintf(stderr, "ddpm-rt-cpp: %s\n", ddpm_rt::one_line(message).c_str());
  return code;
}

}  // namespace

int main(int argc, char** argv) {
  record_interrupts();
  try {
    const Arguments asked = parse_arguments({argv + 1, argv + argc});
    if (asked.help) return std::fputs(USAGE, stdout), 0;
    if (asked.version) return print_version(), 0;
    run(asked);
    return 0;
  } catch (const Interrupted&) {
    return fail("interrupted; no file was written", 128 + interrupted_by());
  } catch (const UsageError& error) {
    return fail((std::string(error.what()) + "; see ddpm-rt-cpp --help").c_str(), 2);
  } catch (const ddpm_rt::Error& error) {
    return fail(error.what(), error.status() == DDPM_RT_INVALID_ARGUMENT ? 2 : 1);
  } catch (const std::bad_alloc&) {
    return fail("out of memory; draw fewer images", 1);
  } catch (const std::exception& error) {
    return fail(error.what(), 1);
  }
}
