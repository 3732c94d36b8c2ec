// A whole file in memory.
#pragma once

#include <cstddef>
#include <string>

namespace ddpm_rt {

// `kind` says in words what it should be. Throws Failure for one that cannot be read or is larger
// than `most` bytes.
std::string read_file(const std::string& path, std::size_t most, const std::string& kind);

}  // namespace ddpm_rt
