#include "cuda_throttle.hpp"

#include <algorithm>
#include <thread>

namespace ddpm_rt::cuda {

bool Throttle::queued(std::size_t steps) {
  steps_queued_ += steps;
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
  if (chain_.is_loop() && progress_.is_wanted()) follow_loop(slot);
  chain_.wait_mark(slot);
  ++marks_reached_;
  report(steps_at_mark_[slot], chain_.layout().frames ? chain_.frame(slot) : nullptr);
}

// The only mark of a loop is at its end. The host looks at the rows that the loop has reached.
void Throttle::follow_loop(std::size_t slot) {
  while (!chain_.has_reached(slot)) {
    report(chain_.row() - first_row_, nullptr);
    std::this_thread::sleep_for(POLL);
  }
}

// Reports all steps up to this number.
void Throttle::report(std::size_t steps, const float* x0) {
  if (steps == steps_reported_) return;
  const auto now = std::chrono::steady_clock::now();
  const double seconds_per_step = std::chrono::duration<double>(now - reached_at_).count() /
                                  static_cast<double>(steps - steps_reported_);
  reached_at_ = now;
  const double fitting =
      SECONDS_PER_MARK / std::max(seconds_per_step, 1e-9);  // 0 by a coarse clock
  steps_per_mark_ =
      fitting < 1 ? 1 : std::min(most_steps_per_mark_, static_cast<std::size_t>(fitting));
  while (steps_reported_ != steps)
    progress_.step(first_row_ + steps_reported_++, samples_, seconds_per_step, 0, x0);
}

}  // namespace ddpm_rt::cuda
