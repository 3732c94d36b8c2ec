// How far ahead of the GPU the host may be, and who hears of what is done.
#pragma once

#include <chrono>
#include <cstddef>

#include "cuda_chain.hpp"
#include "watch.hpp"

namespace ddpm_rt::cuda {

// Of one run of a chain. The host is at most MARKS times INTERVAL steps ahead, with frames FRAMES
// steps: so a callback is heard, and a cancel ends the chain soon.
class Lead {
 public:
  static constexpr std::size_t INTERVAL = 16;  // steps from a mark to the next, at most
  static constexpr double GLANCE = 0.02;  // seconds that they should take: a slow network's steps
                                          // are marked one by one, and a cancel is soon over

  Lead(Chain& chain, const Samples& samples, Watch& watch)
      : chain_(chain),
        samples_(samples),
        watch_(watch),
        longest_(chain.layout().frames ? 1 : INTERVAL),
        slots_(chain.layout().frames ? FRAMES : MARKS) {}

  // After a step was queued. Throws Failure when the callback cancels.
  void queued();
  // Marks the steps that are left.
  void end();
  // Waits for all marks.
  void finish();

 private:
  void mark();
  void tell();

  Chain& chain_;
  const Samples& samples_;
  Watch& watch_;
  const std::size_t longest_, slots_;
  std::size_t interval_ = 1;
  std::size_t queued_ = 0, marked_ = 0, told_ = 0;  // steps
  std::size_t made_ = 0, heard_ = 0;                // marks
  std::size_t until_[MARKS] = {};                   // steps that are done at a mark
  std::chrono::steady_clock::time_point since_ = std::chrono::steady_clock::now();
};

}  // namespace ddpm_rt::cuda
