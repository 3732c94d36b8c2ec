// A steps file: a compiled sampler with the facts of its model.
// runtime/ddpm_rt/artifacts/steps_file.py has the definition.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "card.hpp"

namespace ddpm_rt {

// One row of the step table. ddpm_rt/step.h specifies the arithmetic:
//
// x0     = clip(x0_from_x * x + x0_from_out * out)
// x_next = mean_from_x0 * x0 + mean_from_x * x + mean_from_out * out + mean_from_prev_x0 * prev_x0
//          + sigma * exp(log_sigma_from_spread * spread) * z
struct Row {
  double t;  // the time that the network is given; a whole number where the table has timesteps
  float x0_from_x, x0_from_out;
  float mean_from_x0, mean_from_x, mean_from_out, mean_from_prev_x0;
  float sigma, log_sigma_from_spread;
  // mean_from_x0 + mean_from_prev_x0, for a chain that starts at this row
  float mean_from_both_x0;
};

struct StepsFile {
  Model model;
  std::string sampler;  // a description, printable
  std::string card_sha256;
  int format;
  std::optional<std::pair<float, float>> clip;  // [low, high] of x0
  float initial_scale;                          // x_T = initial_scale * z
  std::vector<Row> rows;

  // Whether every t is a whole number.
  bool has_whole_times() const;
};

// Throws Failure, whose message begins with `source`, for anything but a complete steps file of
// format 1 or 2.
StepsFile parse_steps(std::string_view text, const std::string& source);

// Reads the file and parses it. Throws Failure.
StepsFile read_steps(const std::string& path);

// A time as text: 80, or 2.5.
std::string time_text(double t);

// Throws Failure unless `steps`, from the file `source`, was compiled for the model of this card.
void check_same_model(const StepsFile& steps, const Card& card, const std::string& source);

}  // namespace ddpm_rt
