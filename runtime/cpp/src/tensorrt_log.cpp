#include "tensorrt_log.hpp"

#include <string_view>
#include <utility>

namespace ddpm_rt {
namespace {

constexpr std::size_t MAX_BYTES = 300;

// The message without line breaks, and without the place in TensorRT where it comes from.
std::string reason_in(std::string_view message) {
  if (const auto code = message.find("Error Code "); code != message.npos)
    if (const auto colon = message.find(": ", code); colon != message.npos)
      message.remove_prefix(colon + 2);
  message = message.substr(0, message.find(" (In "));
  std::string line;
  for (const char letter : message.substr(0, MAX_BYTES)) {
    const bool blank = letter == ' ' || letter == '\n' || letter == '\r' || letter == '\t';
    if (!blank) line += letter;
    if (blank && !line.empty() && line.back() != ' ') line += ' ';
  }
  if (line.ends_with(' ')) line.pop_back();
  return line;
}

}  // namespace

void TensorRtLog::log(Severity severity, const char* message) noexcept {
  if (severity > Severity::kERROR) return;  // a smaller number is more severe
  try {
    const std::lock_guard lock(mutex_);
    error_ = reason_in(message);
  } catch (...) {  // out of memory: no reason is kept
  }
}

std::string TensorRtLog::reason() {
  const std::lock_guard lock(mutex_);
  const std::string error = std::exchange(error_, {});
  return error.empty() ? "" : ": " + error;
}

}  // namespace ddpm_rt
