// Image files.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

struct Images {
  std::span<const float> values;   // [count, *shape]; of pictures, in [-1, 1]
  std::vector<std::size_t> shape;  // [C, ...]; [C, H, W] of pictures
  std::size_t count;
  bool is_picture;
};

// Throws std::invalid_argument, before anything is drawn, if write_png cannot write such images.
void check_png(const Images& images);

// Writes a grid with the columns of Python's. Cells without an image are white. Throws
// std::runtime_error.
void write_png(const std::string& path, const Images& images);
