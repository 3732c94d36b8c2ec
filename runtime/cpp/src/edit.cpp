#include "edit.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "error.hpp"
#include "finite.hpp"
#include "levels.hpp"
#include "limits.hpp"

namespace ddpm_rt {
namespace {

// A sample of q(x_t | x_0), Ho et al. 2020, eq. (4), times `scale`, for one image. Each product and
// the sum are rounded to float32 once.
struct Noised {
  Noised(double alpha_bar, double scale)
      : signal(static_cast<float>(scale * std::pow(alpha_bar, 0.5))),
        rest(static_cast<float>(scale * std::pow(1.0 - alpha_bar, 0.5))) {}
  float operator()(float image, float z) const { return signal * image + rest * z; }
  const float signal, rest;
};

// The number of numbers of a mask: the sides of an image without its channels.
std::size_t mask_size(const Model& model) {
  return model.image() / static_cast<std::size_t>(model.shape[0]);
}

double strength_of(const ddpm_rt_sample_options& options) {
  if (options.strength != 0) return options.strength;
  return options.mask == nullptr ? 0.5 : 1.0;
}

}  // namespace

bool Edit::is_asked(const ddpm_rt_sample_options& options) {
  return options.init_images != nullptr || options.init_noise != nullptr ||
         options.mask != nullptr || options.init_count != 0 || options.strength != 0 ||
         options.resample != 0;
}

Edit::Edit(const ddpm_rt_sample_options& options, const StepsFile& steps, const Card& card)
    : steps_(steps),
      first_(options.first),
      images_(options.init_images),
      image_count_(options.init_count),
      mask_(options.mask),
      noise_(options.init_noise),
      resample_(options.resample == 0 ? 1 : static_cast<std::size_t>(options.resample)) {
  check(options);
  if (noise_ != nullptr) return;
  const std::size_t count = steps.rows.size();
  const double run = std::nearbyint(strength_of(options) * static_cast<double>(count));
  first_row_ = count - std::max(std::size_t{1}, static_cast<std::size_t>(run));
  const bool has_history = std::any_of(steps.rows.begin(), steps.rows.end(), [&](const Row& row) {
    return row.mean_from_prev_x0 != 0 && &row != &steps.rows[first_row_];
  });
  if (resample_ > 1 && has_history)
    bad_argument("resample needs a sampler without history; this one is " + steps.sampler);
  find_levels(card);
  z_.resize(steps.model.image());
}

void Edit::check(const ddpm_rt_sample_options& options) const {
  const std::size_t size = steps_.model.image();
  if (images_ == nullptr && (mask_ != nullptr || options.init_count != 0 || options.strength != 0 ||
                             options.resample != 0))
    bad_argument("strength, mask and resample are options of init_images");
  if (images_ != nullptr && noise_ != nullptr)
    bad_argument("give either init_images or init_noise");
  if (noise_ != nullptr && !all_finite(noise_, options.count * size))
    bad_argument("the noise is not finite everywhere");
  if (images_ == nullptr) return;
  if (image_count_ != 1 && image_count_ != options.count)
    bad_argument("init_images must be one image, or one for each of the " +
                 std::to_string(options.count) + " samples, not " + std::to_string(image_count_));
  if (!all_finite(images_, image_count_ * size))
    bad_argument("init_images contain values that are not finite");
  if (!(options.strength == 0 || (options.strength > 0 && options.strength <= 1)))
    bad_argument("strength must lie in (0, 1]");
  if (options.resample > MAX_RESAMPLE)
    bad_argument("resample must be at most " + std::to_string(MAX_RESAMPLE));
  if (resample_ > 1 && mask_ == nullptr) bad_argument("resample needs a mask");
  if (steps_.rows.size() > static_cast<std::size_t>(MAX_ROWS) / resample_)
    bad_argument(std::to_string(steps_.rows.size()) + " steps, " + std::to_string(resample_) +
                 " times each, are more than " + std::to_string(MAX_ROWS));
  if (mask_ != nullptr && std::none_of(mask_, mask_ + mask_size(steps_.model),
                                       [](std::uint8_t redrawn) { return redrawn != 0; }))
    bad_argument("the mask marks no pixel to redraw");
}

void Edit::find_levels(const Card& card) {
  const Levels process(card.process, card.prediction, steps_.has_whole_times());
  for (const Row& row : steps_.rows)
    levels_.push_back({process.alpha_bar_at(row.t), process.scale_at(row.t)});
  levels_.push_back({1, 1});
}

const float* Edit::image_of(std::uint64_t sample) const {
  return images_ + (image_count_ == 1 ? 0 : (sample - first_) * steps_.model.image());
}

void Edit::start(const Samples& samples, float* x) const {
  const std::size_t size = steps_.model.image();
  const Noised noised(levels_.empty() ? 1 : levels_[first_row_].alpha_bar,
                      levels_.empty() ? 1 : levels_[first_row_].scale);
  for (std::size_t n = 0; n < samples.count; ++n) {
    const std::uint64_t sample = samples.first + n;
    float* const to = x + n * size;
    if (noise_ != nullptr) std::copy_n(noise_ + (sample - first_) * size, size, to);
    if (first_row_ == 0) {
      for (std::size_t i = 0; i < size; ++i) to[i] = steps_.initial_scale * to[i];
    } else {
      const float* const image = image_of(sample);
      for (std::size_t i = 0; i < size; ++i) to[i] = noised(image[i], to[i]);
    }
  }
}

void Edit::after_pass(const Samples& samples, std::size_t row, std::size_t pass, float* x) {
  if (mask_ == nullptr) return;
  const std::size_t size = steps_.model.image(), area = mask_size(steps_.model);
  const Level &now = levels_[row], &next = levels_[row + 1];
  const std::uint32_t step = noise_step(row, pass);
  const bool again = pass + 1 < passes(row);
  const Noised kept(next.alpha_bar, next.scale), back(now.alpha_bar / next.alpha_bar, now.scale);
  const auto scale = static_cast<float>(next.scale);
  // steps past those of the table: the noise of a step forward belongs to no row
  const auto table = static_cast<std::uint32_t>((steps_.rows.size() - 1) * resample_ + 1);
  for (std::size_t n = 0; n < samples.count; ++n) {
    const std::uint64_t sample = samples.first + n;
    const float* const image = image_of(sample);
    float* const to = x + n * size;
    normals(samples.seed, sample, step, size, z_.data());
    for (std::size_t i = 0; i < size; ++i)
      if (mask_[i % area] == 0) to[i] = kept(image[i], z_[i]);
    if (!again) continue;
    normals(samples.seed, sample, table + step, size, z_.data());
    for (std::size_t i = 0; i < size; ++i) to[i] = back(to[i] / scale, z_[i]);
  }
}

}  // namespace ddpm_rt
