// Files that the caller names. Only regular files are read: no pipe, device, folder or file of
// /proc, which may block or never end.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

namespace ddpm_rt {

// A path of the C interface: UTF-8 on Windows, the system's bytes elsewhere.
std::filesystem::path path_of(const std::string& path);

// The size of a regular file. `kind` names what is expected, as "a steps file of `ddpm-rt steps`".
// Throws Failure for anything but a regular file of 1 to `most` bytes.
std::uintmax_t checked_size(const std::string& path, std::uintmax_t most, const std::string& kind);

// The content of such a file. Throws Failure.
std::string read_file(const std::string& path, std::size_t most, const std::string& kind);

// The first bytes of such a file, at most `count`.
std::string read_beginning(const std::string& path, std::size_t count);

}  // namespace ddpm_rt
