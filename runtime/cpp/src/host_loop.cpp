#include "host_loop.hpp"

#include <algorithm>
#include <chrono>

#include "ddpm_rt/step.h"
#include "edit.hpp"
#include "finite.hpp"

namespace ddpm_rt {
namespace {

using Clock = std::chrono::steady_clock;

// The noise of up to four elements of an image. The last quad may have fewer.
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

HostLoop::HostLoop(Engine& engine, const StepsFile& steps, const Samples& samples,
                   const Conditions& conditions)
    : steps_(steps), samples_(samples), guidance_(conditions.guidance), y_(conditions.classes) {
  const Model& model = steps.model;
  const bool guided = guidance_ != 1.0F;
  // with guidance: all samples with their conditions, then all samples with none
  const std::size_t batch = guided ? 2 * samples.count : samples.count;
  for (std::size_t i = 0; guided && model.classes >= 0 && i < samples.count; ++i)
    y_.push_back(model.null_class < 0 ? y_[i] : model.null_class);
  x_.resize(batch * model.image());
  x0_.resize(samples.count * model.image());
  prev_x0_.resize(x0_.size());
  out_.resize(batch * model.output());
  t_.resize(batch);
  take_inputs(conditions, batch);
  call_ = engine.bind({batch, x_.data(), t_.data(), y_.empty() ? nullptr : y_.data(), out_.data(),
                       input_buffers()});
}

void HostLoop::take_inputs(const Conditions& conditions, std::size_t batch) {
  const auto& known = steps_.model.inputs;
  inputs_ = conditions.inputs;
  inputs_.resize(known.size());
  for (std::size_t i = 0; i < known.size(); ++i) {
    if (known[i].is_previous) given_x0_.resize(batch * steps_.model.image());
    if (known[i].is_previous || guidance_ == 1.0F) continue;
    const bool has_null = i < conditions.null_inputs.size() && !conditions.null_inputs[i].empty();
    const auto& null = has_null ? conditions.null_inputs[i] : conditions.inputs[i];
    inputs_[i].insert(inputs_[i].end(), null.begin(), null.end());
  }
}

std::vector<const std::byte*> HostLoop::input_buffers() const {
  std::vector<const std::byte*> buffers;
  for (std::size_t i = 0; i < inputs_.size(); ++i)
    buffers.push_back(steps_.model.inputs[i].is_previous
                          ? reinterpret_cast<const std::byte*>(given_x0_.data())
                          : inputs_[i].data());
  return buffers;
}

void HostLoop::start(Edit* edit) {
  edit_ = edit;
  row_ = edit == nullptr ? 0 : edit->first_row();
  std::fill(x0_.begin(), x0_.end(), 0.0F);
  std::fill(prev_x0_.begin(), prev_x0_.end(), 0.0F);
  const std::size_t size = steps_.model.image();
  for (std::size_t sample = 0; sample < samples_.count; ++sample)
    normals(samples_.seed, samples_.first + sample, DDPM_RT_INITIAL_STEP, size,
            x_.data() + sample * size);
  if (edit != nullptr) return edit->start(samples_, x_.data());
  if (steps_.initial_scale != 1)
    for (std::size_t i = 0; i < x0_.size(); ++i) x_[i] = steps_.initial_scale * x_[i];
}

void HostLoop::step() {
  engine_seconds_ = 0;
  if (edit_ == nullptr) {
    run_row(static_cast<std::uint32_t>(row_));
  } else {
    for (std::size_t pass = 0; pass < edit_->passes(row_); ++pass) {
      run_row(edit_->noise_step(row_, pass));
      edit_->after_pass(samples_, row_, pass, x_.data());
    }
  }
  ++row_;
}

void HostLoop::run_row(std::uint32_t noise_step) {
  call_network();
  check_output();
  x0_.swap(prev_x0_);
  for (std::size_t sample = 0; sample < samples_.count; ++sample) {
    update(sample);
    if (steps_.rows[row_].sigma != 0) add_noise(sample, noise_step);
  }
  if (row_ + 1 == steps_.rows.size())
    check_images_finite(x_.data(), steps_.model.image(), samples_.first, samples_.count);
}

// The first row of an edit takes its own x0 for the previous one.
Row HostLoop::row_numbers() const {
  Row row = steps_.rows[row_];
  if (edit_ != nullptr && edit_->without_history() && row_ == edit_->first_row()) {
    row.mean_from_x0 = row.mean_from_both_x0;
    row.mean_from_prev_x0 = 0;
  }
  return row;
}

void HostLoop::call_network() {
  std::fill(t_.begin(), t_.end(), steps_.rows[row_].t);
  const bool guided = guidance_ != 1.0F;
  const auto images = static_cast<std::ptrdiff_t>(x0_.size());
  if (guided) std::copy_n(x_.begin(), images, x_.begin() + images);
  if (!given_x0_.empty()) std::copy_n(x0_.begin(), images, given_x0_.begin());
  if (!given_x0_.empty() && guided) std::copy_n(x0_.begin(), images, given_x0_.begin() + images);
  const auto before = Clock::now();
  call_->run();
  engine_seconds_ += std::chrono::duration<double>(Clock::now() - before).count();
  if (guided) apply_guidance();
}

// null + W (labelled - null), Ho and Salimans 2022, eq. (6) with W = 1 + w. The spread is that of
// the labelled output.
void HostLoop::apply_guidance() {
  const std::size_t size = steps_.model.image(), output = steps_.model.output();
  for (std::size_t sample = 0; sample < samples_.count; ++sample) {
    float* labelled = out_.data() + sample * output;
    const float* null = out_.data() + (samples_.count + sample) * output;
    for (std::size_t i = 0; i < size; ++i)
      labelled[i] = null[i] + guidance_ * (labelled[i] - null[i]);
  }
}

void HostLoop::check_output() const {
  const std::size_t size = steps_.model.output();
  if (all_finite(out_.data(), samples_.count * size)) return;
  std::size_t sample = 0;
  while (all_finite(out_.data() + sample * size, size)) ++sample;
  output_not_finite(row_, steps_.rows[row_].t, samples_.first + sample);
}

// The operations of ddpm_rt_update4() in step.h, in the same order, one pass over the image for
// each. The compiler vectorizes a pass; this is four times as fast as quads.
void HostLoop::update(std::size_t sample) {
  const Row row = row_numbers();  // a copy: the compiler knows that the stores do not change it
  const std::size_t size = steps_.model.image();
  float* const x = x_.data() + sample * size;
  float* const x0 = x0_.data() + sample * size;
  const float* const out = out_.data() + sample * steps_.model.output();
  const float* const prev_x0 = prev_x0_.data() + sample * size;
  for (std::size_t i = 0; i < size; ++i) x0[i] = row.x0_from_x * x[i] + row.x0_from_out * out[i];
  if (steps_.clip) {
    const auto [low, high] = *steps_.clip;
    for (std::size_t i = 0; i < size; ++i) x0[i] = std::min(std::max(x0[i], low), high);
  }
  for (std::size_t i = 0; i < size; ++i) x[i] = row.mean_from_x * x[i] + row.mean_from_x0 * x0[i];
  if (row.mean_from_out != 0)
    for (std::size_t i = 0; i < size; ++i) x[i] += row.mean_from_out * out[i];
  if (row.mean_from_prev_x0 != 0)
    for (std::size_t i = 0; i < size; ++i) x[i] += row.mean_from_prev_x0 * prev_x0[i];
}

void HostLoop::add_noise(std::size_t sample, std::uint32_t noise_step) {
  const Row row = steps_.rows[row_];
  const std::size_t size = steps_.model.image();
  float* const x = x_.data() + sample * size;
  const float* const spread =
      out_.data() + sample * steps_.model.output() + size;  // read only if the network has one
  for (std::size_t first = 0; first < size; first += 4) {
    const Quad quad = quad_at(samples_, sample, noise_step, first, size);
    for (std::size_t i = 0; i < quad.size; ++i) {
      float part = row.sigma * quad.z[i];
      if (row.log_sigma_from_spread != 0)
        part *= ddpm_rt_exp(row.log_sigma_from_spread * spread[first + i]);
      x[first + i] += part;
    }
  }
}

}  // namespace ddpm_rt
