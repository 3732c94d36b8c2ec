#include "drawing.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <span>
#include <utility>

#include "description.hpp"
#include "folder.hpp"
#include "interrupt.hpp"
#include "npy_file.hpp"
#include "replace_file.hpp"

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t MAX_FLOATS = std::size_t{1} << 30;  // 4 GiB of images, held in memory

std::size_t numbers_of(const std::vector<std::size_t>& shape) {
  std::size_t count = 1;
  for (const std::size_t side : shape) count *= side;
  return count;
}

Samples samples_of(const Arguments& asked, const InitialState& state, std::size_t size) {
  const Samples whole = {asked.first, count_of(asked, state, size)};
  if (!asked.shard) return whole;
  if (state.images.size() > size || state.noise.size() > size)
    throw UsageError("--shard cannot divide a file of several " +
                     std::string(state.noise.empty() ? "images" : "noise") +
                     "; divide the file, and use --first");
  return part_of(whole, asked.batch, *asked.shard);
}

// What one file or one folder's batch will show, still without values.
Images described(const Job& job) {
  const bool is_picture = job.is_decoded || job.info.is_picture != 0;
  return {{}, job.shape, job.output == Output::FOLDER ? 1 : job.samples.count, is_picture};
}

void check_output(const Arguments& asked, const Job& job, std::size_t size) {
  const Images images = described(job);
  if (job.output != Output::FOLDER) check_target(asked.out);
  size = std::max(size, numbers_of(job.shape));  // as drawn, or as written
  if (images.count > MAX_FLOATS / size)
    throw UsageError("--count must be at most " + std::to_string(MAX_FLOATS / size) +
                     " for images of this size; draw the rest with --first, or write a folder");
  // A folder of images that no picture shows would be taken for one of pictures.
  const bool is_npz = job.output == Output::FOLDER && !images.is_picture && job.shape.size() != 3;
  if (job.output != Output::ARRAY && !is_npz) return check_png(images, asked.scale);
  if (asked.scale != 1)
    throw UsageError(asked.out +
                     ": arrays hold the model's numbers and have no scale; leave out --scale");
}

// Shows the progress of several calls that draw, and stops them after a signal.
struct Progress {
  bool is_quiet;
  std::function<std::string()> kept;
  std::uint64_t calls = 1, call = 0;  // how many, and which
  double engine_seconds = 0;

  void show(const ddpm_rt_step& step) {
    if (interrupted_by() != 0) throw Interrupted{kept()};
    engine_seconds += step.engine_seconds;
    if (!is_quiet)
      std::fprintf(stderr, "\r%llu of %llu steps",
                   static_cast<unsigned long long>(call * step.total + step.done),
                   static_cast<unsigned long long>(calls * step.total));
  }
};

// The images that a call which draws `part` takes: one for all samples, or one for each.
std::span<const float> of_part(const std::vector<float>& images, const Job& job,
                               const Samples& part, std::size_t size) {
  const std::span<const float> all(images);
  return all.size() <= size
             ? all
             : all.subspan((part.first - job.samples.first) * size, part.count * size);
}

// The images of latents, as many at once as were drawn.
std::vector<float> decoded(ddpm_rt::Sampler& sampler, std::uint64_t batch,
                           const std::vector<float>& latents) {
  const std::size_t size = batch * sampler.image_size();
  std::vector<float> images;
  for (std::size_t start = 0; start < latents.size(); start += size) {
    const auto part = std::span(latents).subspan(start, std::min(size, latents.size() - start));
    const auto some = sampler.decode(part);
    images.insert(images.end(), some.begin(), some.end());
  }
  return images;
}

// Draws a part of the samples: [part.count, *job.shape].
std::vector<float> drawn(const Arguments& asked, ddpm_rt::Sampler& sampler, const Job& job,
                         const Samples& part, Progress& progress) {
  const std::size_t size = sampler.image_size();
  ddpm_rt::Options options = {
      .seed = asked.seed, .first = part.first, .count = part.count, .batch = asked.batch};
  options.labels = asked.labels;
  options.guidance = asked.guidance;
  options.init_images = of_part(job.state.images, job, part, size);
  options.strength = asked.strength.value_or(0);
  options.mask = job.state.mask;
  options.resample = asked.resample.value_or(0);
  options.init_noise = of_part(job.state.noise, job, part, size);
  options.progress = [&](const ddpm_rt_step& step) {
    progress.show(step);
    return true;
  };
  auto values = sampler.sample(options);
  return job.is_decoded ? decoded(sampler, asked.batch, values) : values;
}

Texts texts_of(const Arguments& asked, const Job& job) {
  const ModelDigests digests = digests_of(asked.model, asked.steps, job.is_decoded);
  return describe(asked, job.info, digests, job.state, job.inputs, job.null_inputs);
}

double since(Clock::time_point before) {
  return std::chrono::duration<double>(Clock::now() - before).count();
}

Outcome draw_file(const Arguments& asked, ddpm_rt::Sampler& sampler, const Job& job) {
  Images images = described(job);
  const auto& [first, count] = job.samples;
  Texts texts;
  if (job.output == Output::GRID) texts = texts_of(asked, job);
  texts.emplace_back("ddpm-rt.samples",
                     std::to_string(first) + "-" + std::to_string(first + (count - 1)));
  Progress progress = {asked.quiet, [] { return "no file was written"; }};
  const auto before = Clock::now();
  const auto values = drawn(asked, sampler, job, job.samples, progress);
  const double seconds = since(before);
  images.values = values;
  if (job.output == Output::GRID) {
    replace_file(asked.out, png_bytes(images, asked.scale, texts));
  } else {
    std::vector<std::size_t> shape = {images.count};
    shape.insert(shape.end(), job.shape.begin(), job.shape.end());
    write_npy(asked.out, shape, values);
  }
  return {count, 0, 0, seconds, progress.engine_seconds};
}

Outcome draw_folder(const Arguments& asked, ddpm_rt::Sampler& sampler, const Job& job) {
  SampleFolder folder(
      asked.out,
      described(job).is_picture ? png_format(job.shape, asked.scale) : npz_format(job.shape),
      texts_of(asked, job), job.samples);
  const auto parts = folder.missing(asked.batch);
  Outcome outcome = {0, folder.kept(), folder.damaged()};
  Progress progress = {asked.quiet, [&] {
                         return std::to_string(folder.kept()) + " of " +
                                std::to_string(job.samples.count) + " images are in " + asked.out +
                                "; the same command resumes";
                       }};
  progress.calls = parts.size();
  for (const Samples& part : parts) {
    const auto before = Clock::now();
    const auto pictures = drawn(asked, sampler, job, part, progress);
    outcome.seconds += since(before);
    folder.write(part.first, pictures);
    outcome.drawn += part.count;
    ++progress.call;
  }
  outcome.engine_seconds = progress.engine_seconds;
  return outcome;
}

}  // namespace

Job job_of(const Arguments& asked, ddpm_rt::Sampler& sampler) {
  Job job = {};
  job.info = sampler.info();
  job.state = read_initial_state(asked, sampler.shape(), job.info.is_latent != 0);
  job.samples = samples_of(asked, job.state, sampler.image_size());
  job.output = output_of(asked.out);
  job.is_decoded = job.output != Output::ARRAY && job.info.is_latent != 0;
  job.shape = job.is_decoded ? sampler.decoded_shape() : sampler.shape();
  const auto known = sampler.inputs();
  job.inputs = read_inputs(known, asked.inputs, asked.resize);
  job.null_inputs = read_inputs(known, asked.null_inputs, asked.resize);
  set_inputs(sampler, job.inputs, job.null_inputs);
  if (job.samples.count != 0) check_output(asked, job, sampler.image_size());
  return job;
}

Outcome draw(const Arguments& asked, ddpm_rt::Sampler& sampler, const Job& job) {
  return job.output == Output::FOLDER ? draw_folder(asked, sampler, job)
                                      : draw_file(asked, sampler, job);
}
