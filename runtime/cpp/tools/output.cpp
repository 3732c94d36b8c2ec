#include "output.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <stdexcept>
#include <vector>

#include "limits.hpp"
#include "replace_file.hpp"

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STB_IMAGE_WRITE_STATIC
#define STBI_WRITE_NO_STDIO
#include <stb_image_write.h>

namespace {

static_assert(std::endian::native == std::endian::little,
              "write_npy writes the floats of the machine as little-endian");

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
  if (images.channels != 1 && images.channels != 3)
    throw std::runtime_error("the model draws " + std::to_string(images.channels) +
                             " channels, which are no picture; write an .npy");
  const Grid grid = grid_of(images.count);
  const std::size_t width = grid.columns * images.width, height = grid.rows * images.height;
  if (height > ddpm_rt::MAX_PIXELS / width)
    throw std::runtime_error("the grid would have more than " +
                             std::to_string(ddpm_rt::MAX_PIXELS) +
                             " pixels; write an .npy, or fewer images");
}

void write_png(const std::string& path, const Images& images) {
  check_png(images);
  const auto [columns, rows] = grid_of(images.count);
  const std::size_t stride = columns * images.width * images.channels;
  std::vector<std::uint8_t> pixels(rows * images.height * stride, EMPTY);
  std::size_t from = 0;
  for (std::size_t n = 0; n < images.count; ++n)
    for (std::size_t c = 0; c < images.channels; ++c)
      for (std::size_t y = 0; y < images.height; ++y)
        for (std::size_t x = 0; x < images.width; ++x)
          pixels[(n / columns * images.height + y) * stride +
                 (n % columns * images.width + x) * images.channels + c] =
              to_byte(images.values[from++]);
  std::string bytes;
  const auto append = [](void* to, void* data, int size) {
    static_cast<std::string*>(to)->append(static_cast<char*>(data), static_cast<std::size_t>(size));
  };
  const auto width = static_cast<int>(columns * images.width),
             height = static_cast<int>(rows * images.height);
  if (stbi_write_png_to_func(append, &bytes, width, height, static_cast<int>(images.channels),
                             pixels.data(), static_cast<int>(stride)) == 0)
    throw std::runtime_error(path + " cannot be encoded; write an .npy");
  replace_file(path, bytes);
}

void write_npy(const std::string& path, const Images& images) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" +
                       std::to_string(images.count) + ", " + std::to_string(images.channels) +
                       ", " + std::to_string(images.height) + ", " + std::to_string(images.width) +
                       "), }";
  // the data begin at a multiple of 64
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  std::string bytes("\x93NUMPY\x01\x00", 8);
  bytes += static_cast<char>(header.size() & 255);
  bytes += static_cast<char>(header.size() >> 8);
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(images.values.data()), images.values.size_bytes());
  replace_file(path, bytes);
}
