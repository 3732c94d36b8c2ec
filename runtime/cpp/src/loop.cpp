#include "loop.hpp"

#include <algorithm>
#include <bit>
#include <chrono>
#include <string>

#include "ddpm_rt/step.h"
#include "error.hpp"

namespace ddpm_rt {
namespace {

using Clock = std::chrono::steady_clock;

// Four of the image's values at `first`: the last quad may be cut.
struct Quad {
  float z[4];
  std::size_t size;
};

Quad quad_at(const Samples& samples, std::size_t sample, std::uint32_t step, std::size_t first,
             std::size_t size) {
  Quad quad;
  ddpm_rt_normal4(samples.seed, samples.first + sample, step, static_cast<ddpm_rt_u32>(first / 4),
                  quad.z);
  quad.size = std::min<std::size_t>(4, size - first);
  return quad;
}

}  // namespace

bool noise_is_exact() { return ddpm_rt_noise_is_exact() != 0; }

void normals(std::uint64_t seed, std::uint64_t sample, std::uint32_t step, std::size_t size,
             float* out) {
  for (std::size_t first = 0; first < size; first += 4) {
    const Quad quad = quad_at({seed, sample, 1}, 0, step, first, size);
    std::copy_n(quad.z, quad.size, out + first);
  }
}

Loop::Loop(Engine& engine, const Steps& steps, const Samples& samples, const Labels& labels)
    : steps_(steps), samples_(samples), guidance_(labels.guidance), y_(labels.of_samples) {
  const bool guided = guidance_ != 1.0F;
  const std::size_t batch =
      guided ? 2 * samples.count : samples.count;  // labelled, then of no class
  if (guided) y_.resize(batch, steps.model.null_class);
  x_.resize(batch * steps.model.image());
  x0_.resize(samples.count * steps.model.image());
  prev_x0_.resize(x0_.size());
  out_.resize(batch * steps.model.output());
  t_.resize(batch);
  call_ = engine.bind({batch, x_.data(), t_.data(), y_.empty() ? nullptr : y_.data(), out_.data()});
}

void Loop::start() {
  row_ = 0;
  std::fill(x0_.begin(), x0_.end(), 0.0F);
  std::fill(prev_x0_.begin(), prev_x0_.end(), 0.0F);
  const std::size_t size = steps_.model.image();
  for (std::size_t sample = 0; sample < samples_.count; ++sample)
    normals(samples_.seed, samples_.first + sample, DDPM_RT_INITIAL_STEP, size,
            x_.data() + sample * size);
}

void Loop::step() {
  ask();
  check_finite();
  x0_.swap(prev_x0_);
  for (std::size_t sample = 0; sample < samples_.count; ++sample) {
    update(sample);
    if (steps_.rows[row_].sigma != 0) add_noise(sample);
  }
  ++row_;
}

void Loop::ask() {
  std::fill(t_.begin(), t_.end(), steps_.rows[row_].t);
  const bool guided = guidance_ != 1.0F;
  if (guided)
    std::copy_n(x_.begin(), x0_.size(), x_.begin() + static_cast<std::ptrdiff_t>(x0_.size()));
  const auto before = Clock::now();
  call_->run();
  engine_seconds_ = std::chrono::duration<double>(Clock::now() - before).count();
  if (guided) guide();
}

// null + W (labelled - null), Ho and Salimans 2022, eq. (6) with W = 1 + w; the spread stays the
// labelled one's.
void Loop::guide() {
  const std::size_t output = steps_.model.output();
  for (std::size_t sample = 0; sample < samples_.count; ++sample) {
    float* labelled = out_.data() + sample * output;
    const float* null = out_.data() + (samples_.count + sample) * output;
    for (std::size_t i = 0; i < steps_.model.image(); ++i)
      labelled[i] = null[i] + guidance_ * (labelled[i] - null[i]);
  }
}

void Loop::check_finite() const {
  constexpr std::uint32_t EXPONENT = 0x7F800000;  // all ones: infinite or NaN
  const float* const out = out_.data();
  const std::size_t size = samples_.count * steps_.model.output();
  std::uint32_t worst = 0;  // not a float that is tested on the way: this loop must cost nothing
  for (std::size_t i = 0; i < size; ++i)
    worst = std::max(worst, std::bit_cast<std::uint32_t>(out[i]) & EXPONENT);
  if (worst == EXPONENT)
    throw Failure(DDPM_RT_NOT_FINITE,
                  "the network's output is not finite at step " + std::to_string(row_) +
                      ", t = " + std::to_string(steps_.rows[row_].t) + "; check the model");
}

// What ddpm_rt_update4() of step.h does, and in the same order, but for whole images: a pass at a
// time the compiler makes wide, which is four times as fast as quad by quad.
void Loop::update(std::size_t sample) {
  const Row row = steps_.rows[row_];  // a copy: what is written below cannot change it
  const std::size_t size = steps_.model.image();
  float* const x = x_.data() + sample * size;
  float* const x0 = x0_.data() + sample * size;
  const float* const out = out_.data() + sample * steps_.model.output();
  const float* const prev_x0 = prev_x0_.data() + sample * size;
  for (std::size_t i = 0; i < size; ++i) x0[i] = row.x0_from_x * x[i] + row.x0_from_out * out[i];
  if (steps_.clips)
    for (std::size_t i = 0; i < size; ++i)
      x0[i] = std::min(std::max(x0[i], steps_.low), steps_.high);
  for (std::size_t i = 0; i < size; ++i) x[i] = row.mean_from_x * x[i] + row.mean_from_x0 * x0[i];
  if (row.mean_from_out != 0)
    for (std::size_t i = 0; i < size; ++i) x[i] += row.mean_from_out * out[i];
  if (row.mean_from_prev_x0 != 0)
    for (std::size_t i = 0; i < size; ++i) x[i] += row.mean_from_prev_x0 * prev_x0[i];
}

void Loop::add_noise(std::size_t sample) {
  const Row row = steps_.rows[row_];
  const std::size_t size = steps_.model.image();
  float* const x = x_.data() + sample * size;
  const float* const spread =
      out_.data() + sample * steps_.model.output() + size;  // if the network has one
  for (std::size_t first = 0; first < size; first += 4) {
    const Quad quad = quad_at(samples_, sample, static_cast<std::uint32_t>(row_), first, size);
    for (std::size_t i = 0; i < quad.size; ++i) {
      float part = row.sigma * quad.z[i];
      if (row.log_sigma_from_spread != 0)
        part *= ddpm_rt_exp(row.log_sigma_from_spread * spread[first + i]);
      x[first + i] += part;
    }
  }
}

}  // namespace ddpm_rt
