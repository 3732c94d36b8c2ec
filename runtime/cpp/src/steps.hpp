// A steps file: a compiled step table with the facts of its model. runtime/ddpm_rt/steps_file.py is
// the definition.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "card.hpp"

namespace ddpm_rt {

// x0     = clip(x0_from_x * x + x0_from_out * out)
// x_next = mean_from_x0 * x0 + mean_from_x * x + mean_from_out * out + mean_from_prev_x0 * prev_x0
//          + sigma * exp(log_sigma_from_spread * spread) * z
struct Row {
  std::int64_t t;  // what the network is told
  float x0_from_x, x0_from_out;
  float mean_from_x0, mean_from_x, mean_from_out, mean_from_prev_x0;
  float sigma, log_sigma_from_spread;
};

struct Steps {
  Model model;
  std::string sampler;  // in words
  std::string card_sha256;
  bool clips;
  float low, high;
  std::vector<Row> rows;
};

// Throws Failure, which begins with `source`, for anything but a whole format-1 steps file.
Steps parse_steps(std::string_view text, const std::string& source);

// The same from a file.
Steps read_steps(const std::string& path);

// Throws Failure unless `steps`, from the file `source`, was compiled for the model of this card.
void check_belongs(const Steps& steps, const Card& card, const std::string& source);

}  // namespace ddpm_rt
