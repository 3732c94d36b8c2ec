#include "initial_state.hpp"

#include <algorithm>
#include <cmath>

#include "npy_file.hpp"
#include "picture.hpp"

namespace {

constexpr std::uint64_t COUNT = 16;  // samples, unless an .npy to start from says otherwise
constexpr double LARGEST = 2.0;      // of an image: bytes exceed it by far

// float32 [N, *shape] from an array of one or several.
std::vector<float> read_samples(const std::string& path, const std::vector<std::size_t>& shape) {
  const Array array = read_npy(path);
  const std::size_t rank = array.shape.size();
  if ((rank != shape.size() && rank != shape.size() + 1) || array.numbers.empty() ||
      !std::equal(shape.begin(), shape.end(), array.shape.end() - static_cast<int>(shape.size())))
    throw UsageError(path + " is " + text_of(array.shape) + " but the model draws " +
                     text_of(shape));
  return {array.numbers.begin(), array.numbers.end()};
}

std::vector<float> read_images(const std::string& path, const std::vector<std::size_t>& shape,
                               bool is_latent) {
  if (!is_array(path)) return read_pixels(path, shape, false);
  auto images = read_samples(path, shape);
  for (const float value : images)
    if (!is_latent && std::abs(value) > LARGEST)
      throw UsageError(path + " has values beyond " + std::to_string(static_cast<int>(LARGEST)) +
                       "; scale images to [-1, 1] with bytes / 127.5 - 1");
  return images;
}

std::vector<std::uint8_t> read_mask(const std::string& path,
                                    const std::vector<std::size_t>& shape) {
  if (!is_array(path)) {
    if (shape.size() != 3)
      throw UsageError("the model draws " + text_of(shape) +
                       ", which no picture can mask; give the mask as .npy");
    return read_picture_mask(path, shape[1], shape[2]);
  }
  const Array array = read_npy(path);
  const std::vector<std::size_t> sides(shape.begin() + 1, shape.end());
  if (array.shape != sides)
    throw UsageError(path + " is " + text_of(array.shape) + " but the model draws " +
                     text_of(sides));
  std::vector<std::uint8_t> mask;
  for (const double value : array.numbers) mask.push_back(value != 0 ? 1 : 0);
  return mask;
}

}  // namespace

InitialState read_initial_state(const Arguments& asked, const std::vector<std::size_t>& shape,
                                bool is_latent) {
  if (asked.init_image.empty() && (asked.strength || !asked.mask.empty() || asked.resample))
    throw UsageError("--strength, --mask and --resample are options of --init-image");
  if (!asked.init_image.empty() && !asked.init_noise.empty())
    throw UsageError("give either --init-image or --init-noise");
  InitialState state;
  if (!asked.init_image.empty()) state.images = read_images(asked.init_image, shape, is_latent);
  if (!asked.mask.empty()) state.mask = read_mask(asked.mask, shape);
  if (!asked.init_noise.empty()) state.noise = read_samples(asked.init_noise, shape);
  return state;
}

std::uint64_t count_of(const Arguments& asked, const InitialState& state, std::size_t size) {
  const std::size_t images = state.images.size() / size, noises = state.noise.size() / size;
  const std::uint64_t count = asked.count.value_or(noises > 0   ? noises
                                                   : images > 1 ? images
                                                                : COUNT);
  const bool is_noise = noises > 0;
  if (is_noise ? noises != count : images > 1 && images != count)
    throw UsageError((is_noise ? "--init-noise holds " + std::to_string(noises) + " samples"
                               : "--init-image holds " + std::to_string(images) + " images") +
                     ", but --count is " + std::to_string(count));
  return count;
}
