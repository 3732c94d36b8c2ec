// Destinations of samples: a grid, an array of floats, or a folder with one file for each sample.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "png_file.hpp"

enum class Output { GRID, ARRAY, FOLDER };

// The suffix of a path in lower case; "" without one.
std::string suffix_of(const std::string& path);

// By the suffix of the path; an existing folder and a path without a suffix are folders. Throws
// UsageError for other suffixes.
Output output_of(const std::string& path);

struct Images {
  std::span<const float> values;   // [count, *shape]; of pictures, in [-1, 1]
  std::vector<std::size_t> shape;  // [C, ...]; [C, H, W] of pictures
  std::size_t count;
  bool is_picture;
};

// Throws UsageError, before anything is drawn, if png_bytes cannot write such images, each of their
// pixels as `scale` x `scale`.
void check_png(const Images& images, std::size_t scale);

// The bytes of a PNG: a grid with the columns of Python's, and the texts. Cells without an image are
// white. Throws std::runtime_error.
std::string png_bytes(const Images& images, std::size_t scale, const Texts& texts);
