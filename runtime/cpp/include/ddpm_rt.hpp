// ddpm_rt.h for C++20: a class that owns the sampler, exceptions, and spans.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <limits>
#include <memory>
#include <new>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "ddpm_rt.h"

namespace ddpm_rt {

class Error : public std::runtime_error {
 public:
  explicit Error(ddpm_rt_status status)
      : std::runtime_error(ddpm_rt_last_error()), status_(status) {}
  ddpm_rt_status status() const noexcept { return status_; }

 private:
  ddpm_rt_status status_;
};

inline void check(ddpm_rt_status status) {
  if (status != DDPM_RT_OK) throw Error(status);
}

// The providers that the library was built with.
inline std::vector<ddpm_rt_provider> providers() {
  std::vector<ddpm_rt_provider> found(ddpm_rt_providers(nullptr, 0));
  ddpm_rt_providers(found.data(), found.size());
  return found;
}

struct Options {
  std::uint64_t seed = 0;
  std::uint64_t first = 0, count = 1;         // draw samples first .. first + count - 1
  std::uint64_t batch = 16;                   // images per call of the network
  std::span<const std::int64_t> labels = {};  // empty: see ddpm_rt.h
  double guidance = 1.0;
  // Returns false to cancel. An exception that it throws leaves sample().
  std::function<bool(const ddpm_rt_step&)> progress = {};
  bool preview = false;                 // the callback gets x0
  std::span<double> step_seconds = {};  // empty, or one number per step
  // Edits of images: see ddpm_rt.h.
  std::span<const float> init_images = {};  // one image, or one for each sample
  double strength = 0;                      // 0: 0.5, and 1 with a mask
  std::span<const std::uint8_t> mask = {};  // [H, W]: 0 is kept
  std::uint64_t resample = 0;               // 0: 1
  std::span<const float> init_noise = {};   // x_T of each sample
};

struct OpenOptions {
  int threads = 0;                           // CPU threads; 0: as many as the process may use
  ddpm_rt_provider provider = DDPM_RT_AUTO;  // see ddpm_rt.h
  int device = 0;                            // the number of the GPU
  int streams = 1;                           // of a plan: batches at the same time
  ddpm_rt_mode mode = DDPM_RT_REPLAY;        // of a plan: see ddpm_rt.h
};

using Bytes = std::span<const std::byte>;

// The types that values of inputs may have.
template <class T>
concept Number = std::same_as<T, float> || std::same_as<T, double> ||
                 std::same_as<T, std::int32_t> || std::same_as<T, std::int64_t>;
template <Number T>
inline constexpr ddpm_rt_type type_of = std::same_as<T, float>          ? DDPM_RT_FLOAT32
                                        : std::same_as<T, double>       ? DDPM_RT_FLOAT64
                                        : std::same_as<T, std::int32_t> ? DDPM_RT_INT32
                                                                        : DDPM_RT_INT64;

class Sampler {
 public:
  Sampler(const std::string& model, const std::string& steps, int threads = 0)
      : Sampler(model, steps, OpenOptions{.threads = threads}) {}

  Sampler(const std::string& model, const std::string& steps, const OpenOptions& wanted)
      : Sampler(opened(model, steps.c_str(), wanted)) {}

  // Runs the table that the model contains: see ddpm_rt_open(). Throws Error.
  explicit Sampler(const std::string& model, const OpenOptions& wanted = {})
      : Sampler(opened(model, nullptr, wanted)) {}

  // Opens a model, its record if it is a plan, and a steps file from memory. The bytes are not
  // needed afterwards. Throws Error.
  static Sampler from_memory(Bytes model, Bytes steps, const OpenOptions& wanted = {},
                             Bytes record = {}) {
    return opened(model, &steps, wanted, record);
  }

  // The same with the table that the model, or the record of a plan, contains.
  static Sampler from_memory(Bytes model, const OpenOptions& wanted = {}, Bytes record = {}) {
    return opened(model, nullptr, wanted, record);
  }

  ddpm_rt_info info() const {
    ddpm_rt_info info = DDPM_RT_INFO;
    check(ddpm_rt_describe(handle_.get(), &info));
    return info;
  }

  // The shape of a sample: [C, ...].
  std::vector<std::size_t> shape() const {
    const ddpm_rt_info facts = info();
    return {facts.shape, facts.shape + facts.rank};
  }

  // The number of floats in one sample: C * H * W for an image.
  std::size_t image_size() const {
    const ddpm_rt_info facts = info();
    return std::size_t{facts.channels} * facts.height * facts.width;
  }

  // The named inputs of the network.
  std::vector<ddpm_rt_input> inputs() const {
    std::vector<ddpm_rt_input> found(info().inputs, ddpm_rt_input DDPM_RT_INPUT);
    for (std::size_t number = 0; number < found.size(); ++number)
      check(ddpm_rt_describe_input(handle_.get(), number, &found[number]));
    return found;
  }

  // Sets the value of a named input for the calls that follow, from float, double, int32_t or
  // int64_t: one number, or entries. Sample n takes entry n modulo their count. Throws Error.
  template <Number T>
  void set_input(const std::string& name, std::span<const T> numbers) {
    check(
        ddpm_rt_set_input(handle_.get(), name.c_str(), type_of<T>, numbers.data(), numbers.size()));
  }
  template <Number T>
  void set_input(const std::string& name, const std::vector<T>& numbers) {
    set_input(name, std::span<const T>(numbers));
  }
  template <Number T>
  void set_input(const std::string& name, T number) {
    set_input(name, std::span<const T>(&number, 1));
  }

  // The same for the value that stands for no condition, with guidance. Throws Error.
  template <Number T>
  void set_null_input(const std::string& name, std::span<const T> numbers) {
    check(ddpm_rt_set_null_input(handle_.get(), name.c_str(), type_of<T>, numbers.data(),
                                 numbers.size()));
  }
  template <Number T>
  void set_null_input(const std::string& name, const std::vector<T>& numbers) {
    set_null_input(name, std::span<const T>(numbers));
  }
  template <Number T>
  void set_null_input(const std::string& name, T number) {
    set_null_input(name, std::span<const T>(&number, 1));
  }

  // Draws [count, C, ...] into `images`. Throws Error.
  void sample(const Options& wanted, std::span<float> images) {
    draw(wanted, [&](const ddpm_rt_sample_options& options) {
      return ddpm_rt_sample(handle_.get(), &options, images.data(), images.size());
    });
  }

  // Returns [count, C, ...]. Throws Error, and std::bad_alloc if the images do not fit in memory.
  std::vector<float> sample(const Options& wanted) {
    const std::size_t size = image_size();
    if (wanted.count > std::numeric_limits<std::ptrdiff_t>::max() / sizeof(float) / size)
      throw std::bad_alloc();
    std::vector<float> images(static_cast<std::size_t>(wanted.count) * size);
    sample(wanted, images);
    return images;
  }

  // The shape of an image that the decoder of a latent model gives: [C, H, W]. Throws Error.
  std::vector<std::size_t> decoded_shape() {
    std::uint32_t shape[3] = {0, 0, 0};
    check(ddpm_rt_decoded_shape(handle_.get(), shape));
    return {shape, shape + 3};
  }

  // Decodes latents [N, C, ...] of sample() into images [N, *decoded_shape()]. Throws Error.
  std::vector<float> decode(std::span<const float> latents) {
    const auto shape = decoded_shape();
    const std::size_t count = latents.size() / image_size();
    std::vector<float> images(count * shape[0] * shape[1] * shape[2]);
    check(ddpm_rt_decode(handle_.get(), latents.data(), count, images.data(), images.size()));
    return images;
  }

  // Draws into `floats` floats of device memory, in the order of a cudaStream_t: work that is
  // queued in the stream afterwards sees the images. Throws Error; finish() throws errors that
  // happen later.
  void sample_device(const Options& wanted, float* device_images, std::size_t floats,
                     void* cuda_stream) {
    draw(wanted, [&](const ddpm_rt_sample_options& options) {
      return ddpm_rt_sample_device(handle_.get(), &options, device_images, floats, cuda_stream);
    });
  }

  // Waits for the work that sample_device queued. Throws Error.
  void finish() { check(ddpm_rt_finish(handle_.get())); }

 private:
  struct Close {
    void operator()(ddpm_rt_sampler* sampler) const noexcept { ddpm_rt_close(sampler); }
  };

  // Carries an exception of the callback through the C functions.
  struct Call {
    const std::function<bool(const ddpm_rt_step&)>* progress;
    std::exception_ptr thrown;

    static int step(const ddpm_rt_step* step, void* user) {
      auto* call = static_cast<Call*>(user);
      try {
        return (*call->progress)(*step) ? 0 : 1;
      } catch (...) {
        call->thrown = std::current_exception();
        return 1;
      }
    }
  };

  explicit Sampler(ddpm_rt_sampler* opened) : handle_(opened) {}

  static Sampler opened(const std::string& model, const char* steps, const OpenOptions& wanted) {
    const ddpm_rt_open_options options = c_options(wanted);
    ddpm_rt_sampler* opened = nullptr;
    check(ddpm_rt_open(model.c_str(), steps, &options, &opened));
    return Sampler(opened);
  }

  static Sampler opened(Bytes model, const Bytes* steps, const OpenOptions& wanted, Bytes record) {
    const ddpm_rt_open_options options = c_options(wanted);
    const auto part = [](Bytes bytes) { return ddpm_rt_bytes{bytes.data(), bytes.size()}; };
    const ddpm_rt_bytes model_bytes = part(model), record_bytes = part(record),
                        steps_bytes = part(steps == nullptr ? Bytes() : *steps);
    ddpm_rt_sampler* opened = nullptr;
    check(ddpm_rt_open_memory(&model_bytes, record.empty() ? nullptr : &record_bytes,
                              steps == nullptr ? nullptr : &steps_bytes, &options, &opened));
    return Sampler(opened);
  }

  static ddpm_rt_open_options c_options(const OpenOptions& wanted) {
    ddpm_rt_open_options options = DDPM_RT_OPEN_OPTIONS;
    options.threads = wanted.threads;
    options.provider = wanted.provider;
    options.device = wanted.device;
    options.streams = wanted.streams;
    options.mode = wanted.mode;
    return options;
  }

  template <class Draw>
  void draw(const Options& wanted, const Draw& call_library) const {
    if (!wanted.step_seconds.empty() && wanted.step_seconds.size() != info().steps)
      throw std::invalid_argument("step_seconds must have one number per step");
    const std::size_t size = image_size();
    if (wanted.init_images.size() % size != 0 || wanted.init_noise.size() % size != 0 ||
        (!wanted.init_noise.empty() && wanted.init_noise.size() / size != wanted.count))
      throw std::invalid_argument(
          "init_images and init_noise must be whole images, noise for each");
    if (!wanted.mask.empty() && wanted.mask.size() != size / info().shape[0])
      throw std::invalid_argument("the mask must have the sides of an image");
    Call call{&wanted.progress, nullptr};
    ddpm_rt_sample_options options = DDPM_RT_SAMPLE_OPTIONS;
    options.seed = wanted.seed;
    options.first = wanted.first;
    options.count = wanted.count;
    options.batch = wanted.batch;
    options.labels = wanted.labels.data();
    options.label_count = wanted.labels.size();
    options.guidance = wanted.guidance;
    options.progress = wanted.progress ? &Call::step : nullptr;
    options.user = &call;
    options.preview = wanted.preview;
    options.step_seconds = wanted.step_seconds.empty() ? nullptr : wanted.step_seconds.data();
    options.init_images = wanted.init_images.empty() ? nullptr : wanted.init_images.data();
    options.init_count = wanted.init_images.size() / size;
    options.strength = wanted.strength;
    options.mask = wanted.mask.empty() ? nullptr : wanted.mask.data();
    options.resample = wanted.resample;
    options.init_noise = wanted.init_noise.empty() ? nullptr : wanted.init_noise.data();
    const ddpm_rt_status status = call_library(options);
    if (call.thrown) std::rethrow_exception(call.thrown);
    check(status);
  }

  std::unique_ptr<ddpm_rt_sampler, Close> handle_;
};

}  // namespace ddpm_rt
