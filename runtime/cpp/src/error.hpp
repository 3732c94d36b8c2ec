// The exception that the library uses inside. The C functions turn it into a status and a message.
#pragma once

#include <stdexcept>
#include <string>

#include "ddpm_rt.h"

namespace ddpm_rt {

class Failure : public std::runtime_error {
 public:
  Failure(ddpm_rt_status status, const std::string& message)
      : std::runtime_error(message), status(status) {}
  const ddpm_rt_status status;
};

[[noreturn]] inline void bad_argument(const std::string& message) {
  throw Failure(DDPM_RT_INVALID_ARGUMENT, message);
}

[[noreturn]] inline void bad_file(const std::string& message) {
  throw Failure(DDPM_RT_BAD_FILE, message);
}

[[noreturn]] inline void engine_failed(const std::string& message) {
  throw Failure(DDPM_RT_ENGINE_FAILED, message);
}

}  // namespace ddpm_rt
