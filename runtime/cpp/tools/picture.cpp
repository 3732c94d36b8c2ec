#include "picture.hpp"

#include <cstdlib>
#include <memory>
#include <stdexcept>

#include "arguments.hpp"
#include "file.hpp"
#include "limits.hpp"
#include "npy_file.hpp"
#include "output.hpp"
#include "png_file.hpp"

namespace {

// A file that claims few pixels may have a stream of any length: stb_image gets no more memory than
// the largest picture of 16 bits and 4 channels needs, and as much again.
constexpr std::size_t MAX_BLOCK = 16 * ddpm_rt::MAX_PIXELS;

void* bounded_realloc(void* block, std::size_t size) {
  return size > MAX_BLOCK ? nullptr : std::realloc(block, size);
}

}  // namespace

#define STBI_MALLOC(size) bounded_realloc(nullptr, size)
#define STBI_REALLOC(block, size) bounded_realloc(block, size)
#define STBI_FREE(block) std::free(block)
#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_ONLY_PNG
#define STBI_ONLY_JPEG
#define STBI_NO_STDIO
#include <stb_image.h>

namespace {

constexpr const char* KIND = "a PNG or JPEG picture";
constexpr std::uint8_t OPAQUE = 255, WHITE = 128;  // a mask is redrawn from WHITE on
constexpr int GREY = 0;                            // color type of PNG

using Pixels = std::unique_ptr<stbi_uc, void (*)(void*)>;

[[noreturn]] void fail(const std::string& path, const std::string& why,
                       const std::string& remedy = std::string("name ") + KIND) {
  throw std::runtime_error(path + " " + why + "; " + remedy);
}

const stbi_uc* start_of(std::string_view bytes) {
  return reinterpret_cast<const stbi_uc*>(bytes.data());
}

int size_of(std::string_view bytes) { return static_cast<int>(bytes.size()); }

// Refuses what stb_image would read as another picture than Pillow, or not at all.
void check_file(const std::string& path, std::string_view bytes) {
  if (bytes.starts_with(PNG_SIGNATURE)) {
    const PngFacts facts = read_png_facts(bytes);
    if (!facts.is_whole) fail(path, "is not a picture that can be read");
    if (facts.depth == 16 && facts.color == GREY)
      fail(path, "has more than 8 bits a channel", "save it with 8 bits, or as .npy in [-1, 1]");
    if (facts.frames > 1) fail(path, "has several frames", "save one frame as a separate picture");
  } else if (!bytes.starts_with("\xFF\xD8\xFF")) {
    fail(path, "is not a picture that can be read");
  }
  int width = 0, height = 0, channels = 0;
  if (stbi_info_from_memory(start_of(bytes), size_of(bytes), &width, &height, &channels) == 0)
    fail(path, "is not a picture that can be read");
  if (static_cast<std::size_t>(height) > ddpm_rt::MAX_PIXELS / static_cast<std::size_t>(width))
    fail(path, "is " + std::to_string(width) + " x " + std::to_string(height) +
                   ", more than the limit of " + std::to_string(ddpm_rt::MAX_PIXELS) + " pixels");
}

// ITU-R 601-2, rounded as Pillow rounds it.
std::uint8_t luma(const stbi_uc* rgb) {
  return static_cast<std::uint8_t>((rgb[0] * 19595 + rgb[1] * 38470 + rgb[2] * 7471 + 0x8000) >>
                                   16);
}

std::string sides_of(std::size_t height, std::size_t width) {
  return std::to_string(width) + " x " + std::to_string(height);
}

void check_size(const std::string& path, const Picture& picture, std::size_t height,
                std::size_t width) {
  if (picture.height != height || picture.width != width)
    throw UsageError(path + " is " + sides_of(picture.height, picture.width) +
                     " but the model draws " + sides_of(height, width) + "; resize it first");
}

}  // namespace

bool is_array(const std::string& path) { return suffix_of(path) == ".npy"; }

Picture read_picture(const std::string& path, std::size_t channels) {
  const std::string bytes = ddpm_rt::read_file(path, ddpm_rt::MAX_PICTURE_BYTES, KIND);
  check_file(path, bytes);
  int width = 0, height = 0, found = 0;
  const Pixels pixels(
      stbi_load_from_memory(start_of(bytes), size_of(bytes), &width, &height, &found, 0),
      stbi_image_free);
  if (!pixels) fail(path, "is not a picture that can be read");
  const auto in_file = static_cast<std::size_t>(found);
  const bool has_alpha = in_file % 2 == 0;
  Picture picture = {
      static_cast<std::size_t>(height), static_cast<std::size_t>(width), channels, {}};
  const std::size_t count = picture.height * picture.width;
  picture.pixels.reserve(count * channels);
  for (std::size_t i = 0; i < count; ++i) {
    const stbi_uc* pixel = pixels.get() + i * in_file;
    if (has_alpha && pixel[in_file - 1] != OPAQUE)
      fail(path, "has transparent pixels", "save it without transparency");
    if (channels == 1)
      picture.pixels.push_back(in_file < 3 ? pixel[0] : luma(pixel));
    else
      for (std::size_t c = 0; c < channels; ++c)
        picture.pixels.push_back(pixel[in_file < 3 ? 0 : c]);
  }
  return picture;
}

std::vector<float> read_pixels(const std::string& path, const std::vector<std::size_t>& shape,
                               bool resize) {
  if (shape.size() != 3 || (shape[0] != 1 && shape[0] != 3))
    throw UsageError(text_of(shape) + " is no picture: give " + path + " as .npy, " +
                     text_of(shape) + " in [-1, 1]");
  const std::size_t channels = shape[0], height = shape[1], width = shape[2];
  Picture picture = read_picture(path, channels);
  if (resize) picture = resized(picture, height, width);
  check_size(path, picture, height, width);
  std::vector<float> values(channels * height * width);
  for (std::size_t i = 0; i < height * width; ++i)
    for (std::size_t c = 0; c < channels; ++c)
      values[c * height * width + i] =
          static_cast<float>(picture.pixels[i * channels + c]) / 127.5F - 1.0F;
  return values;
}

std::vector<std::uint8_t> read_picture_mask(const std::string& path, std::size_t height,
                                            std::size_t width) {
  Picture picture = read_picture(path, 1);
  check_size(path, picture, height, width);
  for (std::uint8_t& pixel : picture.pixels) pixel = pixel >= WHITE ? 1 : 0;
  return picture.pixels;
}

bool can_decode(std::string_view png) {
  int width = 0, height = 0, channels = 0;
  return Pixels(stbi_load_from_memory(start_of(png), size_of(png), &width, &height, &channels, 0),
                stbi_image_free) != nullptr;
}
