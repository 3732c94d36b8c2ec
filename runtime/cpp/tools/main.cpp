// ddpm-rt-cpp: `ddpm-rt sample` without Python.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <ddpm_rt.hpp>
#include <filesystem>
#include <new>
#include <span>
#include <stdexcept>
#include <vector>

#include "arguments.hpp"
#include "initial_state.hpp"
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

// A PNG of latents shows what the decoder makes of them; an .npy has the latents themselves.
bool decodes(const Arguments& asked, const ddpm_rt_info& info) {
  return is_png(asked) && info.is_latent != 0;
}

// What will be written, still without values.
Images described(ddpm_rt::Sampler& sampler, const Arguments& asked, std::uint64_t count) {
  const ddpm_rt_info info = sampler.info();
  if (decodes(asked, info)) return {{}, sampler.decoded_shape(), count, true};
  return {{}, sampler.shape(), count, info.is_picture != 0};
}

// The images of latents, as many at once as were drawn.
std::vector<float> decoded(ddpm_rt::Sampler& sampler, const Arguments& asked,
                           const std::vector<float>& latents) {
  const std::size_t size = asked.batch * sampler.image_size();
  std::vector<float> images;
  for (std::size_t start = 0; start < latents.size(); start += size) {
    const auto part = std::span(latents).subspan(start, std::min(size, latents.size() - start));
    const auto some = sampler.decode(part);
    images.insert(images.end(), some.begin(), some.end());
  }
  return images;
}

// Throws before anything is drawn.
void check_output(const Arguments& asked, const Images& images, std::size_t size) {
  std::size_t written = 1;  // numbers of an image
  for (const std::size_t side : images.shape) written *= side;
  size = std::max(size, written);
  if (images.count == 0) throw UsageError("--count must be at least 1");
  if (images.count > MAX_FLOATS / size)
    throw UsageError("--count must be at most " + std::to_string(MAX_FLOATS / size) +
                     " for images of this size; draw the rest with --first");
  if (is_png(asked)) check_png(images);
}

// Throws before a file that the command reads is replaced.
void check_no_input(const Arguments& asked) {
  std::vector<std::string> read = {asked.model, asked.steps.value_or(""), asked.init_image,
                                   asked.mask, asked.init_noise};
  for (const auto* values : {&asked.inputs, &asked.null_inputs})
    for (const NamedValue& value : *values) read.push_back(value.value);
  for (const std::string& path : read) {
    std::error_code none;
    if (!path.empty() && std::filesystem::equivalent(asked.out, path, none))
      throw UsageError(asked.out + " is an input of the command; choose another --out");
  }
}

void write(const Arguments& asked, const Images& images) {
  if (is_png(asked)) return write_png(asked.out, images);
  std::vector<std::size_t> shape = {images.count};
  shape.insert(shape.end(), images.shape.begin(), images.shape.end());
  write_npy(asked.out, shape, images.values);
}

void print_result(const Arguments& asked, std::uint64_t count, double seconds,
                  double engine_seconds, const char* sampler) {
  std::fprintf(stderr, "%s%s: %llu images of seed %llu, %.3f s", asked.quiet ? "" : "\r",
               asked.out.c_str(), static_cast<unsigned long long>(count),
               static_cast<unsigned long long>(asked.seed), seconds);
  if (engine_seconds > 0)
    std::fprintf(stderr, ", of which the network took %.3f s", engine_seconds);
  std::fprintf(stderr, " (%s)\n", sampler);
}

ddpm_rt::Options options_of(const Arguments& asked, const InitialState& state,
                            std::uint64_t count) {
  ddpm_rt::Options options = {
      .seed = asked.seed, .first = asked.first, .count = count, .batch = asked.batch};
  options.labels = asked.labels;
  options.guidance = asked.guidance;
  options.init_images = state.images;
  options.strength = asked.strength.value_or(0);
  options.mask = state.mask;
  options.resample = asked.resample.value_or(0);
  options.init_noise = state.noise;
  return options;
}

ddpm_rt::Sampler opened(const Arguments& asked) {
  if (asked.steps) return {asked.model, *asked.steps, asked.open};
  return ddpm_rt::Sampler(asked.model, asked.open);
}

void run(const Arguments& asked) {
  check_no_input(asked);
  ddpm_rt::Sampler sampler = opened(asked);
  const ddpm_rt_info info = sampler.info();
  const InitialState state = read_initial_state(asked, sampler.shape());
  Images images = described(sampler, asked, count_of(asked, state, sampler.image_size()));
  check_output(asked, images, sampler.image_size());
  set_inputs(sampler, asked.inputs, asked.null_inputs);
  ddpm_rt::Options options = options_of(asked, state, images.count);
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
  auto values = sampler.sample(options);
  const double seconds = std::chrono::duration<double>(Clock::now() - before).count();
  if (decodes(asked, info)) values = decoded(sampler, asked, values);
  images.values = values;
  write(asked, images);
  print_result(asked, images.count, seconds, engine_seconds, info.sampler);
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
  } catch (const std::invalid_argument& error) {
    return fail(error.what(), 2);
  } catch (const std::bad_alloc&) {
    return fail("out of memory; draw fewer images", 1);
  } catch (const std::exception& error) {
    return fail(error.what(), 1);
  }
}
