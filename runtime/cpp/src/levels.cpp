#include "levels.hpp"

#include <cmath>

#include "error.hpp"

namespace ddpm_rt {
namespace {

using Kind = Process::Kind;

double square(double number) { return number * number; }

}  // namespace

Levels::Levels(const Process& process, const std::string& prediction, bool whole)
    : process_(process), is_edm_(prediction == "edm") {
  double product = 1;
  for (const double beta : process.betas) alpha_bar_.push_back(product *= 1.0 - beta);
  if (whole || process.kind != Kind::BETAS) return;
  if (alpha_bar_.back() == 0)
    bad_argument("sigma is infinite where alpha_bar is 0; use whole timesteps");
  for (const double alpha_bar : alpha_bar_)
    log_sigma_.push_back(0.5 * (std::log(1.0 - alpha_bar) - std::log(alpha_bar)));
}

double Levels::level_of(double time) const {
  const double told = time / process_.time_scale;
  if (!process_.converted) return told;
  return process_.kind == Kind::SIGMA ? std::exp(told) : 1.0 - told;
}

// Between two timesteps, log(sigma) is linear in t, as in k-diffusion.
double Levels::interpolated_log_sigma(double time) const {
  const auto before = static_cast<std::size_t>(time);
  if (before + 1 >= log_sigma_.size()) return log_sigma_.back();
  const double slope = log_sigma_[before + 1] - log_sigma_[before];
  return slope * (time - static_cast<double>(before)) + log_sigma_[before];
}

double Levels::alpha_bar_at(double time) const {
  if (process_.kind == Kind::BETAS) {
    if (log_sigma_.empty()) return alpha_bar_[static_cast<std::size_t>(time)];
    return 1.0 / (1.0 + square(std::exp(interpolated_log_sigma(time))));
  }
  const double level = level_of(time);
  if (process_.kind == Kind::SIGMA) return 1.0 / (1.0 + square(level));
  return square(1.0 - level) / square(std::sqrt(square(1.0 - level) + square(level)));
}

double Levels::scale_at(double time) const {
  if (process_.kind == Kind::BETAS) return 1;
  const double level = level_of(time);
  if (process_.kind == Kind::FLOW) return std::sqrt(square(1.0 - level) + square(level));
  const double deviation = std::sqrt(1.0 + square(level));
  return is_edm_ ? deviation / std::sqrt(square(level) + square(*process_.sigma_data)) : deviation;
}

}  // namespace ddpm_rt
