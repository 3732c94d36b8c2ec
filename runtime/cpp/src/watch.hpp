// What the caller is told while a request is drawn.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ddpm_rt.h"
#include "loop.hpp"
#include "steps.hpp"

namespace ddpm_rt {

// Whether somebody looks at x0 after each step.
inline bool wants_x0(const ddpm_rt_sample_options& options) {
  return options.progress != nullptr && options.preview != 0;
}

// Adds up the times of the steps, and tells the callback of each.
class Watch {
 public:
  // `batch` is how many samples are drawn at once.
  Watch(const ddpm_rt_sample_options& options, const Steps& steps, std::uint64_t batch);

  // A step that is done. Throws Failure when the callback cancels; `x0` may be NULL.
  void step(std::size_t row, const Samples& samples, double seconds, double engine_seconds,
            const float* x0);

  // Whether anybody wants to hear of the steps.
  bool is_heard() const { return options_.progress != nullptr || options_.step_seconds != nullptr; }

 private:
  const ddpm_rt_sample_options& options_;
  const Steps& steps_;
  std::uint64_t done_ = 0, total_;
};

}  // namespace ddpm_rt
