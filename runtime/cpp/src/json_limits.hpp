// Checks of JSON text before it is parsed, so that a hostile text cannot exhaust time or memory.
#pragma once

#include <string>
#include <string_view>

namespace ddpm_rt {

// The limit (limits.hpp) that the text exceeds, as "it is nested deeper than 64 levels", or "".
// A text within the limits may still not be JSON.
std::string exceeded_json_limit(std::string_view text);

}  // namespace ddpm_rt
