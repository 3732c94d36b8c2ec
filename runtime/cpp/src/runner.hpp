// What draws a request: the loop on the host, or the one on a GPU.
#pragma once

#include <memory>
#include <string>

#include "card.hpp"
#include "ddpm_rt.h"
#include "steps.hpp"

namespace ddpm_rt {

// Device memory of the caller's, and the stream in whose order it is used.
struct DeviceTarget {
  float* images;
  void* stream;
};

class Runner {
 public:
  virtual ~Runner() = default;
  virtual const Card& card() const = 0;

  // Draws what was checked already into host memory. Throws Failure.
  virtual void sample(const ddpm_rt_sample_options& options, float* images) = 0;

  // Queues the same into device memory; `finish` waits, and throws what went wrong meanwhile.
  virtual void sample_device(const ddpm_rt_sample_options& options, const DeviceTarget& target);
  virtual void finish() {}
};

// The runner of an engine file, for the steps of `steps`, which outlive it. Throws Failure.
std::unique_ptr<Runner> open_runner(const std::string& path, const Steps& steps,
                                    const ddpm_rt_open_options& options);

// Behind it: an ONNX file, with the host's loop; a plan, with the GPU's.
std::unique_ptr<Runner> open_host_runner(const std::string& path, const Steps& steps,
                                         const ddpm_rt_open_options& options);
std::unique_ptr<Runner> open_device_runner(const std::string& path, const Steps& steps, int device);

}  // namespace ddpm_rt
