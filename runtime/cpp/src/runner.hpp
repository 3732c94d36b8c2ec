// A runner draws what a request asks for, with the loop on the host or the loop on a GPU.
#pragma once

#include <memory>

#include "card.hpp"
#include "ddpm_rt.h"
#include "fitted_tables.hpp"
#include "model_source.hpp"
#include "request.hpp"
#include "steps_file.hpp"

namespace ddpm_rt {

// Device memory of the caller, and the stream in whose order it is used.
struct DeviceTarget {
  float* images;
  void* stream;
};

class Runner {
 public:
  virtual ~Runner() = default;
  virtual const Card& card() const = 0;
  virtual bool whole_times() const = 0;  // whether the network takes t as an integer
  virtual FittedTables fitted_tables() const = 0;

  // Draws into host memory. check_request() has accepted the request. Throws Failure.
  virtual void sample(const Request& request, float* images) = 0;

  // Queues the same into device memory. finish() waits, and throws Failure for errors that happened
  // after the call.
  virtual void sample_device(const Request& request, const DeviceTarget& target);
  virtual void finish() {}
};

// The runner for a model: the host loop for an ONNX model, the GPU loop for a plan. It keeps a
// reference to `steps`, which it reads when it draws. Throws Failure.
std::unique_ptr<Runner> open_runner(const ModelSource& source, const StepsFile& steps,
                                    const ddpm_rt_open_options& options);

// The two kinds behind open_runner.
std::unique_ptr<Runner> open_host_runner(const ModelSource& source, const StepsFile& steps,
                                         const ddpm_rt_open_options& options);
std::unique_ptr<Runner> open_device_runner(const ModelSource& source, const StepsFile& steps,
                                           const ddpm_rt_open_options& options);

}  // namespace ddpm_rt
