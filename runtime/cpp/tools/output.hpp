// Images into files, in one move: a sibling temporary file, renamed.
#pragma once

#include <cstdint>
#include <span>
#include <string>

struct Images {
  std::span<const float> values;  // [count, C, H, W], in [-1, 1]
  std::size_t count, channels, height, width;
};

// A grid, as near to a square as can be, missing places black. Throws std::runtime_error.
void write_png(const std::string& path, const Images& images);

// float32 [count, C, H, W] as NumPy reads it. Throws std::runtime_error.
void write_npy(const std::string& path, const Images& images);
