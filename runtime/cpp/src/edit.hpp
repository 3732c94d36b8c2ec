// Chains that do not begin with the noise of their samples: image to image (SDEdit), inpainting
// (RePaint) and given noise. runtime/ddpm_rt/requests/edit.py and inversion.py are the counterparts,
// which say what is computed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "card.hpp"
#include "ddpm_rt.h"
#include "samples.hpp"
#include "steps_file.hpp"

namespace ddpm_rt {

class Edit {
 public:
  // Whether the options ask for an edit.
  static bool is_asked(const ddpm_rt_sample_options& options);

  // Keeps pointers to the arrays of the options, and a reference to `steps`. Throws Failure for
  // mistakes of the caller.
  Edit(const ddpm_rt_sample_options& options, const StepsFile& steps, const Card& card);

  std::size_t first_row() const { return first_row_; }
  std::size_t rows_run() const { return steps_.rows.size() - first_row_; }
  // How often a row is run; each pass has noise of its own. The last row is run once.
  std::size_t passes(std::size_t row) const { return row + 1 < steps_.rows.size() ? resample_ : 1; }
  std::uint32_t noise_step(std::size_t row, std::size_t pass) const {
    return static_cast<std::uint32_t>(row * resample_ + pass);
  }

  // Whether the first row takes its own x0 for the previous one. Given noise starts at a row that has
  // no previous one.
  bool without_history() const { return noise_ == nullptr; }

  // Changes x [samples, C, ...] from the noise of the samples to the state before first_row().
  void start(const Samples& samples, float* x) const;
  // Changes x after a pass over a row: kept pixels are replaced, and x is noised back by one step
  // before another pass.
  void after_pass(const Samples& samples, std::size_t row, std::size_t pass, float* x);

 private:
  struct Level {
    double alpha_bar, scale;
  };

  void check(const ddpm_rt_sample_options& options) const;
  void find_levels(const Card& card);
  const float* image_of(std::uint64_t sample) const;

  const StepsFile& steps_;
  const std::uint64_t first_;  // the number of the first sample of the call
  const float* const images_;
  const std::size_t image_count_;
  const std::uint8_t* const mask_;
  const float* const noise_;
  const std::size_t resample_;
  std::size_t first_row_ = 0;
  std::vector<Level> levels_;  // before each row, and after the last
  std::vector<float> z_;       // of one sample
};

}  // namespace ddpm_rt
