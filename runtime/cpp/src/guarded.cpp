#include "guarded.hpp"

#include <cstdio>
#include <string>

#include "limits.hpp"
#include "one_line.hpp"

namespace ddpm_rt {
namespace {

// An array, because a message must be possible when no memory is left. A character of UTF-8 has at
// most 4 bytes.
thread_local char last_error[4 * MAX_MESSAGE_CHARACTERS + 1] = "";

constexpr std::size_t MAX_STRUCT_SIZE = 4096;

}  // namespace

ddpm_rt_status failed(ddpm_rt_status status, const char* message) noexcept {
  try {
    std::snprintf(last_error, sizeof last_error, "%s", one_line(message).c_str());
  } catch (const std::bad_alloc&) {
    std::snprintf(last_error, sizeof last_error, "out of memory");
  }
  return status;
}

const char* latest_message() noexcept { return last_error; }

void check_struct_size(std::size_t size, const char* macro) {
  if (size < sizeof(std::uint32_t) || size > MAX_STRUCT_SIZE)
    bad_argument(std::string("struct_size is not set; initialize the struct with ") + macro);
}

}  // namespace ddpm_rt
