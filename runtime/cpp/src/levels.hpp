// What a process says of the state at a time of the network.
#pragma once

#include <string>
#include <vector>

#include "process.hpp"

namespace ddpm_rt {

class Levels {
 public:
  // `whole`: all times are timesteps. Throws Failure for fractional timesteps of a process whose
  // last alpha_bar is 0.
  Levels(const Process& process, const std::string& prediction, bool whole);

  // The share of the data in the variance: signal^2 / (signal^2 + noise^2).
  double alpha_bar_at(double time) const;
  // What the loop's x is a multiple of a DDPM's x by.
  double scale_at(double time) const;

 private:
  double level_of(double time) const;
  double interpolated_log_sigma(double time) const;

  const Process& process_;
  const bool is_edm_;
  std::vector<double> alpha_bar_;  // of whole timesteps
  std::vector<double> log_sigma_;  // for fractional ones
};

}  // namespace ddpm_rt
