// ddpm_rt.h for C++20: owns the handle, throws ddpm_rt::Error, takes spans.
#pragma once

#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
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

struct Options {
  std::uint64_t seed = 0;
  std::uint64_t first = 0, count = 1;  // samples first .. first + count - 1
  std::uint64_t batch = 16;            // images to a call of the network
  std::span<const std::int64_t> labels = {};
  double guidance = 1.0;
  std::function<bool(const ddpm_rt_step&)> progress =
      {};                               // false cancels; what it throws comes out of sample()
  bool preview = false;                 // whether it gets x0
  std::span<double> step_seconds = {};  // empty, or one a step
};

struct OpenOptions {
  int threads = 0;                           // inside one operation on the CPU; 0: all cores
  ddpm_rt_provider provider = DDPM_RT_AUTO;  // by the file
  int device = 0;                            // of a GPU
};

class Sampler {
 public:
  Sampler(const std::string& engine, const std::string& steps, int threads = 0)
      : Sampler(engine, steps, OpenOptions{.threads = threads}) {}

  Sampler(const std::string& engine, const std::string& steps, const OpenOptions& wanted) {
    ddpm_rt_open_options options = DDPM_RT_OPEN_OPTIONS;
    options.threads = wanted.threads;
    options.provider = wanted.provider;
    options.device = wanted.device;
    ddpm_rt_sampler* opened = nullptr;
    check(ddpm_rt_open(engine.c_str(), steps.c_str(), &options, &opened));
    handle_.reset(opened);
  }

  ddpm_rt_info info() const {
    ddpm_rt_info info = DDPM_RT_INFO;
    check(ddpm_rt_describe(handle_.get(), &info));
    return info;
  }

  // Floats of one image: C H W.
  std::size_t image_size() const {
    const ddpm_rt_info known = info();
    return std::size_t{known.channels} * known.height * known.width;
  }

  // Draws [count, C, H, W] into `images`. Throws Error.
  void sample(const Options& wanted, std::span<float> images) {
    draw(wanted, [&](const ddpm_rt_sample_options& options) {
      return ddpm_rt_sample(handle_.get(), &options, images.data(), images.size());
    });
  }

  // The same into device memory, in the order of a cudaStream_t: what is put into it afterwards
  // sees the images. Throws Error; what goes wrong later, finish() throws.
  void sample_device(const Options& wanted, std::span<float> device_images, void* cuda_stream) {
    draw(wanted, [&](const ddpm_rt_sample_options& options) {
      return ddpm_rt_sample_device(handle_.get(), &options, device_images.data(),
                                   device_images.size(), cuda_stream);
    });
  }

  // Waits for what sample_device queued. Throws Error.
  void finish() { check(ddpm_rt_finish(handle_.get())); }

  std::vector<float> sample(const Options& wanted) {
    std::vector<float> images(wanted.count * image_size());
    sample(wanted, images);
    return images;
  }

 private:
  struct Close {
    void operator()(ddpm_rt_sampler* sampler) const noexcept { ddpm_rt_close(sampler); }
  };

  struct Call {  // carries an exception over the C border
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

  template <class Draw>
  void draw(const Options& wanted, const Draw& into) const {
    if (!wanted.step_seconds.empty() && wanted.step_seconds.size() != info().steps)
      throw std::invalid_argument("step_seconds must have one place a step");
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
    const ddpm_rt_status status = into(options);
    if (call.thrown) std::rethrow_exception(call.thrown);
    check(status);
  }

  std::unique_ptr<ddpm_rt_sampler, Close> handle_;
};

}  // namespace ddpm_rt
