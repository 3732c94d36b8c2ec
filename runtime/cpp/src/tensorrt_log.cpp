#include "tensorrt_log.hpp"

#include <string_view>
#include <utility>

namespace ddpm_rt {
namespace {

constexpr std::size_t LONGEST = 300;

// Without line breaks, and without where in TensorRT it was said.
std::string one_line(std::string_view message) {
  if (const auto code = message.find("Error Code "); code != message.npos)
    if (const auto colon = message.find(": ", code); colon != message.npos)
      message.remove_prefix(colon + 2);
  message = message.substr(0, message.find(" (In "));
  std::string line;
  for (const char letter : message.substr(0, LONGEST)) {
    const bool blank = letter == ' ' || letter == '\n' || letter == '\r' || letter == '\t';
    if (!blank) line += letter;
    if (blank && !line.empty() && line.back() != ' ') line += ' ';
  }
  if (line.ends_with(' ')) line.pop_back();
  return line;
}

}  // namespace

void TensorRtLog::log(Severity severity, const char* message) noexcept {
  if (severity > Severity::kERROR) return;  // the numbers fall as it gets worse
  try {
    const std::lock_guard lock(mutex_);
    error_ = one_line(message);
  } catch (...) {  // out of memory: then there is no reason
  }
}

std::string TensorRtLog::reason() {
  const std::lock_guard lock(mutex_);
  const std::string error = std::exchange(error_, {});
  return error.empty() ? "" : ": " + error;
}

}  // namespace ddpm_rt
