// The one exception of the library's inside; the border turns it into a status and a sentence.
#pragma once

#include <stdexcept>
#include <string>

#include "ddpm_rt.h"

namespace ddpm_rt {

class Failure : public std::runtime_error {
 public:
  Failure(ddpm_rt_status status, const std::string& sentence)
      : std::runtime_error(sentence), status(status) {}
  const ddpm_rt_status status;
};

[[noreturn]] inline void bad_argument(const std::string& sentence) {
  throw Failure(DDPM_RT_INVALID_ARGUMENT, sentence);
}

[[noreturn]] inline void bad_file(const std::string& sentence) {
  throw Failure(DDPM_RT_BAD_FILE, sentence);
}

}  // namespace ddpm_rt
