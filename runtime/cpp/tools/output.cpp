#include "output.hpp"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <vector>

#include "arguments.hpp"
#include "file.hpp"
#include "limits.hpp"

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

// The pixels of images in a grid, [rows H, columns W, C].
std::vector<std::uint8_t> painted(const Images& images, const Grid& grid, std::size_t scale) {
  const std::size_t channels = images.shape[0], height = images.shape[1], width = images.shape[2];
  const std::size_t line = grid.columns * width * scale * channels;
  std::vector<std::uint8_t> pixels(grid.rows * height * scale * line, EMPTY);
  std::size_t from = 0;
  for (std::size_t n = 0; n < images.count; ++n)
    for (std::size_t c = 0; c < channels; ++c)
      for (std::size_t y = 0; y < height; ++y)
        for (std::size_t x = 0; x < width; ++x) {
          const std::uint8_t byte = to_byte(images.values[from++]);
          const std::size_t top = (n / grid.columns * height + y) * scale,
                            left = (n % grid.columns * width + x) * scale;
          for (std::size_t i = 0; i < scale * scale; ++i)
            pixels[(top + i / scale) * line + (left + i % scale) * channels + c] = byte;
        }
  return pixels;
}

}  // namespace

std::string suffix_of(const std::string& path) {
  std::string suffix = ddpm_rt::path_of(path).extension().string();
  std::transform(suffix.begin(), suffix.end(), suffix.begin(),
                 [](unsigned char letter) { return static_cast<char>(std::tolower(letter)); });
  return suffix;
}

Output output_of(const std::string& path) {
  std::error_code none;
  const auto status = std::filesystem::status(ddpm_rt::path_of(path), none);
  if (std::filesystem::is_directory(status)) return Output::FOLDER;
  const std::string suffix = suffix_of(path);
  if (suffix == ".png") return Output::GRID;
  if (suffix == ".npy") return Output::ARRAY;
  if (!suffix.empty() || std::filesystem::exists(status))
    throw UsageError(path + ": write .png, .npy, or a folder name without a suffix");
  return Output::FOLDER;
}

void check_png(const Images& images, std::size_t scale) {
  if (!images.is_picture) {
    std::string sides;
    for (const std::size_t side : images.shape)
      sides += (sides.empty() ? "" : " x ") + std::to_string(side);
    throw UsageError("the model draws " + sides + ", which a picture cannot show; write an .npy");
  }
  const Grid grid = grid_of(images.count);
  const std::size_t width = grid.columns * images.shape[2] * scale,
                    height = grid.rows * images.shape[1] * scale;
  if (height > ddpm_rt::MAX_PIXELS / width)
    throw UsageError("a picture would have more than " + std::to_string(ddpm_rt::MAX_PIXELS) +
                     " pixels; write an .npy, or fewer or smaller images");
}

std::string png_bytes(const Images& images, std::size_t scale, const Texts& texts) {
  const Grid grid = grid_of(images.count);
  const auto pixels = painted(images, grid, scale);
  const auto channels = static_cast<int>(images.shape[0]);
  const auto width = static_cast<int>(grid.columns * images.shape[2] * scale);
  const auto height = static_cast<int>(grid.rows * images.shape[1] * scale);
  std::string bytes;
  const auto append = [](void* to, void* data, int size) {
    static_cast<std::string*>(to)->append(static_cast<char*>(data), static_cast<std::size_t>(size));
  };
  if (stbi_write_png_to_func(append, &bytes, width, height, channels, pixels.data(),
                             width * channels) == 0)
    throw std::runtime_error("the PNG cannot be encoded; write an .npy");
  return with_texts(bytes, texts);
}
