// The forward process that a network was trained with: how data and noise mix at each level.
// runtime/ddpm_rt/samplers/process.py, continuous.py and schedule.py are its counterparts.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ddpm_rt {

class JsonObject;

struct Process {
  enum class Kind { BETAS, SIGMA, FLOW };
  Kind kind = Kind::BETAS;
  std::vector<double> betas = {};  // of BETAS
  // The network is told sigma, or t; with `converted` the logarithm of sigma, or 1 - t. Both times
  // time_scale.
  bool converted = false;
  double time_scale = 1;
  std::optional<double> sigma_data = {};  // of SIGMA: the deviation of the data

  // The largest time that a step table may have; nothing without betas.
  std::optional<double> last_time() const;
};

// The process of a card of format 1, or of its key "process" in format 2. Throws Failure.
Process process_of(const JsonObject& card);

using Words = std::span<const char* const>;

// The spacings and the predictions that a card may have with a process.
Words spacings_of(const JsonObject& card, const Process& process);
Words predictions_of(const Process& process);

}  // namespace ddpm_rt
