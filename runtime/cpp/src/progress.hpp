// Reports the steps of a request to the caller: times and the progress callback.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ddpm_rt.h"
#include "host_loop.hpp"
#include "steps_file.hpp"

namespace ddpm_rt {

// Whether the callback gets x0 after each step.
inline bool wants_x0(const ddpm_rt_sample_options& options) {
  return options.progress != nullptr && options.preview != 0;
}

class ProgressReporter {
 public:
  // `batch` is the number of samples in all batches but the last, `rows` that of the rows that are
  // run.
  ProgressReporter(const ddpm_rt_sample_options& options, const StepsFile& steps,
                   std::uint64_t batch, std::size_t rows);

  // Reports a finished step. `x0` may be NULL. Throws Failure when the callback cancels.
  void step(std::size_t row, const Samples& samples, double seconds, double engine_seconds,
            const float* x0);

  // Whether the caller asked for any report.
  bool is_wanted() const {
    return options_.progress != nullptr || options_.step_seconds != nullptr;
  }

 private:
  const ddpm_rt_sample_options& options_;
  const StepsFile& steps_;
  std::uint64_t done_ = 0, total_;
};

}  // namespace ddpm_rt
