// Resizing pictures by Lanczos' filter, with the bytes of Pillow's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

struct Picture {
  std::size_t height, width, channels;
  std::vector<std::uint8_t> pixels;  // [H, W, C]
};

// The picture in another size.
Picture resized(const Picture& picture, std::size_t height, std::size_t width);
