// Image files.
#pragma once

#include <cstdint>
#include <span>
#include <string>

struct Images {
  std::span<const float> values;  // [count, C, H, W], in [-1, 1]
  std::size_t count, channels, height, width;
};

// Throws std::runtime_error, before anything is drawn, if write_png cannot write such images.
void check_png(const Images& images);

// Writes a grid with the columns of Python's. Cells without an image are white. Throws
// std::runtime_error.
void write_png(const std::string& path, const Images& images);

// Writes float32 [count, C, H, W] for NumPy. Throws std::runtime_error.
void write_npy(const std::string& path, const Images& images);
