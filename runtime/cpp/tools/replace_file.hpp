// Writing a file in one step.
#pragma once

#include <string>

// Throws std::runtime_error unless `path` is a regular file, or a new one in a folder that exists.
void check_target(const std::string& path);

// Writes the bytes to a temporary file in the same folder and renames it to `path`. Other programs
// see the old file or the whole new one. Throws std::runtime_error; then the old file is unchanged.
void replace_file(const std::string& path, const std::string& bytes);
