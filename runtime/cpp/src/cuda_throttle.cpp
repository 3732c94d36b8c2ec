#include "cuda_throttle.hpp"

#include <algorithm>

namespace ddpm_rt::cuda {

bool Throttle::step_queued() {
  ++steps_queued_;
  if (steps_queued_ - steps_marked_ < steps_per_mark_) return false;
  mark();
  return true;
}

void Throttle::all_queued() {
  if (steps_queued_ != steps_marked_) mark();
}

void Throttle::wait() {
  while (marks_reached_ != marks_set_) wait_for_oldest_mark();
}

void Throttle::mark() {
  if (marks_set_ - marks_reached_ == slots_) wait_for_oldest_mark();
  const std::size_t slot = marks_set_ % slots_;
  chain_.queue_mark(slot);
  steps_at_mark_[slot] = steps_marked_ = steps_queued_;
  ++marks_set_;
}

void Throttle::wait_for_oldest_mark() {
  const std::size_t slot = marks_reached_ % slots_;
  chain_.wait_mark(slot);
  ++marks_reached_;
  const auto now = std::chrono::steady_clock::now();
  const double seconds_per_step = std::chrono::duration<double>(now - reached_at_).count() /
                                  static_cast<double>(steps_at_mark_[slot] - steps_reported_);
  reached_at_ = now;
  const double fitting =
      SECONDS_PER_MARK / std::max(seconds_per_step, 1e-9);  // 0 by a coarse clock
  steps_per_mark_ =
      fitting < 1 ? 1 : std::min(most_steps_per_mark_, static_cast<std::size_t>(fitting));
  const float* const x0 = chain_.layout().frames ? chain_.frame(slot) : nullptr;
  while (steps_reported_ != steps_at_mark_[slot])
    progress_.step(first_row_ + steps_reported_++, samples_, seconds_per_step, 0, x0);
}

}  // namespace ddpm_rt::cuda
