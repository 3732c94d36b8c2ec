#include "output.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "limits.hpp"
#include "replace_file.hpp"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace {

// The inverse of x / 127.5 - 1: clip, (x + 1) * 127.5, round halves to even.
std::uint8_t to_byte(float value) {
  return static_cast<std::uint8_t>(
      std::nearbyint((std::clamp(value, -1.0F, 1.0F) + 1.0F) * 127.5F));
}

constexpr std::uint8_t EMPTY = 255;  // of a cell without an image: black may be a background

struct Grid {
  std::size_t columns, rows;
  std::size_t cells() const { return columns * rows; }
};

// As in Python (images/canvas.py): from a square to about 4 : 1, the fewest empty cells, then the
// most square.
Grid grid_of(std::size_t count) {
  const auto square = static_cast<std::size_t>(std::ceil(std::sqrt(static_cast<double>(count))));
  Grid best = {};
  for (std::size_t columns = square; columns <= 2 * square; ++columns) {
    const Grid grid = {columns, (count + columns - 1) / columns};
    if (best.columns == 0 || grid.cells() < best.cells()) best = grid;
  }
  return best;
}

}  // namespace

void check_png(const Images& images) {
  if (!images.is_picture) {
    std::string sides;
    for (const std::size_t side : images.shape)
      sides += (sides.empty() ? "" : " x ") + std::to_string(side);
    throw std::invalid_argument("the model draws " + sides +
                                ", which a picture cannot show; write an .npy");
  }
  const Grid grid = grid_of(images.count);
  const std::size_t width = grid.columns * images.shape[2], height = grid.rows * images.shape[1];
  if (height > ddpm_rt::MAX_PIXELS / width)
    throw std::invalid_argument("the grid would have more than " +
                                std::to_string(ddpm_rt::MAX_PIXELS) +
                                " pixels; write an .npy, or fewer images");
}

void write_png(const std::string& path, const Images& images) {
  check_png(images);
  const auto [columns, rows] = grid_of(images.count);
  const std::size_t channels = images.shape[0], height = images.shape[1], width = images.shape[2];
  const std::size_t stride = columns * width * channels;
  std::vector<std::uint8_t> pixels(rows * height * stride, EMPTY);
  std::size_t from = 0;
  for (std::size_t n = 0; n < images.count; ++n)
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t y = 0; y < height; ++y)
        for (std::size_t x = 0; x < width; ++x)
          pixels[(n / columns * height + y) * stride + (n % columns * width + x) * channels + c] =
              to_byte(images.values[from++]);
  std::string bytes;
  const auto append = [](void* to, void* data, int size) {
    static_cast<std::string*>(to)->append(static_cast<char*>(data), static_cast<std::size_t>(size));
  };
  if (stbi_write_png_to_func(append, &bytes, static_cast<int>(columns * width),
                             static_cast<int>(rows * height), static_cast<int>(channels),
                             pixels.data(), static_cast<int>(stride)) == 0)
    throw std::runtime_error(path + " cannot be encoded; write an .npy");
  replace_file(path, bytes);
}
