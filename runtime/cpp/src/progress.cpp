#include "progress.hpp"

#include <algorithm>
#include <string>

#include "error.hpp"

namespace ddpm_rt {

ProgressReporter::ProgressReporter(const ddpm_rt_sample_options& options, const StepsFile& steps,
                                   std::uint64_t batch, std::size_t rows)
    : options_(options), steps_(steps) {
  const std::uint64_t batches = (options.count - 1) / batch + 1;
  total_ = batches * rows;
  if (options.step_seconds != nullptr) std::fill_n(options.step_seconds, steps.rows.size(), 0.0);
}

void ProgressReporter::step(std::size_t row, const Samples& samples, double seconds,
                            double engine_seconds, const float* x0) {
  ++done_;
  if (options_.step_seconds != nullptr) options_.step_seconds[row] += seconds;
  if (options_.progress == nullptr) return;
  const ddpm_rt_step step = {sizeof(ddpm_rt_step),
                             static_cast<std::uint32_t>(row),
                             static_cast<std::uint32_t>(steps_.rows.size()),
                             static_cast<std::int64_t>(steps_.rows[row].t),
                             samples.first,
                             samples.count,
                             done_,
                             total_,
                             seconds,
                             engine_seconds,
                             wants_x0(options_) ? x0 : nullptr,
                             steps_.rows[row].t};
  if (options_.progress(&step, options_.user) != 0)
    throw Failure(DDPM_RT_CANCELLED, "cancelled after step " + std::to_string(row));
}

}  // namespace ddpm_rt
