#include "cuda_lead.hpp"

#include <algorithm>

namespace ddpm_rt::cuda {

void Lead::queued() {
  ++queued_;
  if (queued_ - marked_ >= interval_) mark();
}

void Lead::end() {
  if (queued_ != marked_) mark();
}

void Lead::finish() {
  while (heard_ != made_) tell();
}

void Lead::mark() {
  if (made_ - heard_ == slots_) tell();
  const std::size_t slot = made_ % slots_;
  chain_.queue_mark(slot);
  until_[slot] = marked_ = queued_;
  ++made_;
}

void Lead::tell() {
  const std::size_t slot = heard_ % slots_;
  chain_.wait_mark(slot);
  ++heard_;
  const auto now = std::chrono::steady_clock::now();
  const double each = std::chrono::duration<double>(now - since_).count() /
                      static_cast<double>(until_[slot] - told_);
  since_ = now;
  const double fit = GLANCE / std::max(each, 1e-9);  // a clock may be coarse
  interval_ = fit < 1 ? 1 : std::min(longest_, static_cast<std::size_t>(fit));
  const float* const x0 = chain_.layout().frames ? chain_.frame(slot) : nullptr;
  while (told_ != until_[slot]) watch_.step(told_++, samples_, each, 0, x0);
}

}  // namespace ddpm_rt::cuda
