#include "process.hpp"

#include <cmath>
#include <cstdio>

#include "json_object.hpp"
#include "limits.hpp"

namespace ddpm_rt {
namespace {

using Kind = Process::Kind;

constexpr const char* KINDS[] = {"betas", "sigma", "flow"};  // in the order of Kind
constexpr const char* BETAS_KEYS[] = {"kind", "betas"};
constexpr const char* SIGMA_KEYS[] = {"kind", "sigma_min",  "sigma_max",
                                      "time", "time_scale", "sigma_data"};
constexpr const char* FLOW_KEYS[] = {"kind", "time", "time_scale", "shift"};
constexpr const char* SIGMA_TIMES[] = {"sigma", "log_sigma"};
constexpr const char* FLOW_TIMES[] = {"t", "1-t"};
constexpr const char* BETAS_PREDICTIONS[] = {"eps", "x0", "v"};
constexpr const char* SIGMA_PREDICTIONS[] = {"eps", "x0", "v", "edm"};
constexpr const char* FLOW_PREDICTIONS[] = {"velocity", "x0"};
constexpr const char* SIGMA_SPACINGS[] = {"karras", "logsnr"};
constexpr const char* FLOW_SPACINGS[] = {"trailing"};
// Format 1 has no karras, the last one.
constexpr const char* BETAS_SPACINGS[] = {"trailing", "leading", "linspace", "logsnr", "karras"};

constexpr double LEAST_SIGMA = 1e-5, MOST_SIGMA = 1e6;

// Each inside (0, 1); the last of several may be 1.
std::vector<double> betas_of(const JsonObject& object) {
  const auto& list = object.at("betas");
  const std::size_t count = list.is_array() ? list.size() : 0;
  if (count == 0 || count > MAX_TIMESTEPS)
    object.fail("betas must be a list of at most " + std::to_string(MAX_TIMESTEPS) + " numbers");
  auto betas = object.numbers("betas", count);
  for (std::size_t t = 0; t < count; ++t)
    if (!(betas[t] > 0 && (betas[t] < 1 || (betas[t] == 1 && t > 0 && t + 1 == count))))
      object.fail("betas must lie inside (0, 1); only the last of several may be 1");
  return betas;
}

double number_within(const JsonObject& object, const char* key, double least, double most) {
  const double number = object.number(key);
  if (!(number >= least && number <= most)) {
    char range[80];
    std::snprintf(range, sizeof range, " must lie in [%g, %g]", least, most);
    object.fail(key + std::string(range));
  }
  return number;
}

void read_time(Process& process, const JsonObject& object, Words words) {
  process.converted = object.word("time", words) == words[1];
  process.time_scale = object.number("time_scale");
  const double size = std::abs(process.time_scale);
  if (size < 1e-6 || size > 1e6) object.fail("time_scale must be of 1e-6 to 1e6 in size");
}

}  // namespace

std::optional<double> Process::last_time() const {
  if (kind != Kind::BETAS) return std::nullopt;
  return static_cast<double>(betas.size()) - 1;
}

Process process_of(const JsonObject& card) {
  Process process;
  if (card.format() == 1) {
    process.betas = betas_of(card);
    return process;
  }
  const JsonObject object = card.object("process");
  if (!object.has("kind")) object.fail("missing key 'process.kind'");
  const auto kind = object.word("kind", KINDS);
  if (kind == KINDS[0]) {
    object.check_keys(BETAS_KEYS);
    process.betas = betas_of(object);
  } else if (kind == KINDS[1]) {
    object.check_keys(SIGMA_KEYS);
    process.kind = Kind::SIGMA;
    const double least = number_within(object, "sigma_min", LEAST_SIGMA, MOST_SIGMA);
    const double most = number_within(object, "sigma_max", LEAST_SIGMA, MOST_SIGMA);
    if (!(least < most)) object.fail("sigma_min must be below sigma_max");
    read_time(process, object, SIGMA_TIMES);
    if (!object.is_null("sigma_data"))
      process.sigma_data = number_within(object, "sigma_data", LEAST_SIGMA, MOST_SIGMA);
  } else {
    object.check_keys(FLOW_KEYS);
    process.kind = Kind::FLOW;
    read_time(process, object, FLOW_TIMES);
    number_within(object, "shift", 1e-3, 1e3);
  }
  return process;
}

Words spacings_of(const JsonObject& card, const Process& process) {
  if (process.kind == Kind::SIGMA) return SIGMA_SPACINGS;
  if (process.kind == Kind::FLOW) return FLOW_SPACINGS;
  const Words all = BETAS_SPACINGS;
  return card.format() == 1 ? all.first(all.size() - 1) : all;
}

Words predictions_of(const Process& process) {
  if (process.kind == Kind::SIGMA) return SIGMA_PREDICTIONS;
  if (process.kind == Kind::FLOW) return FLOW_PREDICTIONS;
  return BETAS_PREDICTIONS;
}

}  // namespace ddpm_rt
