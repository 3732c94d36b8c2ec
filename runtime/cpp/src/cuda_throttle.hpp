// Limits how far the host may run ahead of the GPU, and reports the finished steps.
#pragma once

#include <chrono>
#include <cstddef>

#include "cuda_chain.hpp"
#include "progress.hpp"

namespace ddpm_rt::cuda {

// For one run of a chain. The host marks the stream every few steps, and waits for the oldest mark
// before it sets one too many. It is therefore ahead by at most MARKS * MAX_STEPS_PER_MARK steps
// (FRAMES steps with frames), and a cancel soon ends the chain. A loop is queued whole; the chain can
// be told to stop.
class Throttle {
 public:
  static constexpr std::size_t MAX_STEPS_PER_MARK = 16;
  // The steps between two marks should take this long. A slow network gets a mark after every step.
  static constexpr double SECONDS_PER_MARK = 0.02;
  // Time between two polls of a loop on the GPU, if there is a callback.
  static constexpr std::chrono::milliseconds POLL{1};

  Throttle(Chain& chain, const Samples& samples, ProgressReporter& progress, std::size_t first_row)
      : chain_(chain),
        samples_(samples),
        progress_(progress),
        first_row_(first_row),
        most_steps_per_mark_(chain.layout().frames ? 1 : MAX_STEPS_PER_MARK),
        slots_(chain.layout().frames ? FRAMES : MARKS) {}

  // To be called after queued steps. Returns whether it set a mark. Throws Failure when the callback
  // cancels.
  bool queued(std::size_t steps);
  // Marks the last steps.
  void all_queued();
  // Waits for all marks and reports their steps.
  void wait();

 private:
  void mark();
  void wait_for_oldest_mark();
  void follow_loop(std::size_t slot);
  void report(std::size_t steps, const float* x0);

  Chain& chain_;
  const Samples& samples_;
  ProgressReporter& progress_;
  const std::size_t first_row_, most_steps_per_mark_, slots_;
  std::size_t steps_per_mark_ = 1;
  std::size_t steps_queued_ = 0, steps_marked_ = 0, steps_reported_ = 0;
  std::size_t marks_set_ = 0, marks_reached_ = 0;
  std::size_t steps_at_mark_[MARKS] = {};  // how many steps are finished when a mark is reached
  std::chrono::steady_clock::time_point reached_at_ = std::chrono::steady_clock::now();
};

}  // namespace ddpm_rt::cuda
