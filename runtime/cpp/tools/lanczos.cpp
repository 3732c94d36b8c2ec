#include "lanczos.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace {

constexpr double LOBES = 3;
constexpr int BITS = 22;  // of the fraction of a weight: those that Pillow rounds weights to

// What one pixel of the result takes: `weights` of the pixels from `begin` on.
struct Window {
  std::size_t begin;
  std::vector<std::int64_t> weights;
};

double sinc(double x) {
  const double angle = std::numbers::pi * x;
  return x == 0 ? 1 : std::sin(angle) / angle;
}

// sinc(x) in the window sinc(x / 3): Duchon 1979.
double lanczos(double x) { return x >= -LOBES && x < LOBES ? sinc(x) * sinc(x / LOBES) : 0; }

std::int64_t rounded(double weight) {
  return static_cast<std::int64_t>(weight * (1 << BITS) + (weight < 0 ? -0.5 : 0.5));
}

// A smaller result takes the filter in the scale of its own pixels, which averages.
std::vector<Window> windows_of(std::size_t from, std::size_t to) {
  const double scale = static_cast<double>(from) / static_cast<double>(to);
  const double stretch = std::max(scale, 1.0), support = LOBES * stretch;
  std::vector<Window> windows;
  for (std::size_t place = 0; place < to; ++place) {
    const double center = (static_cast<double>(place) + 0.5) * scale;
    const auto begin = static_cast<std::size_t>(std::max(center - support + 0.5, 0.0));
    const auto end = std::min(static_cast<std::size_t>(center + support + 0.5), from);
    std::vector<double> weights;
    double sum = 0;
    for (std::size_t pixel = begin; pixel < end; ++pixel) {
      const double x = (static_cast<double>(pixel) - center + 0.5) * (1.0 / stretch);
      weights.push_back(lanczos(x));
      sum += weights.back();
    }
    Window window = {begin, {}};
    for (const double weight : weights) window.weights.push_back(rounded(weight / sum));
    windows.push_back(window);
  }
  return windows;
}

// One pass along an axis: `outer` lines of `from` pixels, `stride` bytes apart.
std::vector<std::uint8_t> filtered(const std::vector<std::uint8_t>& pixels, std::size_t outer,
                                   std::size_t from, std::size_t to, std::size_t stride) {
  if (from == to) return pixels;
  const auto windows = windows_of(from, to);
  std::vector<std::uint8_t> result(outer * to * stride);
  for (std::size_t line = 0; line < outer; ++line)
    for (std::size_t place = 0; place < to; ++place)
      for (std::size_t i = 0; i < stride; ++i) {
        std::int64_t sum = 1 << (BITS - 1);
        const std::uint8_t* pixel = &pixels[(line * from + windows[place].begin) * stride + i];
        for (const std::int64_t weight : windows[place].weights) {
          sum += weight * *pixel;
          pixel += stride;
        }
        result[(line * to + place) * stride + i] =
            static_cast<std::uint8_t>(std::clamp<std::int64_t>(sum >> BITS, 0, 255));
      }
  return result;
}

}  // namespace

Picture resized(const Picture& picture, std::size_t height, std::size_t width) {
  const std::size_t channels = picture.channels;
  auto rows = filtered(picture.pixels, picture.height, picture.width, width, channels);
  return {height, width, channels, filtered(rows, 1, picture.height, height, width * channels)};
}
