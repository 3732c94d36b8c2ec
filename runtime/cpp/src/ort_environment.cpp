#include "ort_environment.hpp"

#include <cstdlib>
#include <mutex>

namespace ddpm_rt {
namespace {

constexpr const char* VARIABLE = "ORT_DISABLE_TELEMETRY";

void set_variable() {
#ifdef _WIN32
  if (std::getenv(VARIABLE) == nullptr) _putenv_s(VARIABLE, "1");
#else
  ::setenv(VARIABLE, "1", 0);  // 0: a value of the user stays
#endif
}

}  // namespace

Ort::Env environment_without_telemetry() {
  static std::once_flag once;  // setenv must not run in two threads at the same time
  std::call_once(once, set_variable);
  return Ort::Env(ORT_LOGGING_LEVEL_FATAL, "ddpm_rt");
}

}  // namespace ddpm_rt
