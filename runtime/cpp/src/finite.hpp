// Checks for infinite values and NaN, and the messages about them.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace ddpm_rt {

// Whether all values are finite. The loop has no branch, so the compiler vectorizes it.
inline bool all_finite(const float* values, std::size_t count) {
  constexpr std::uint32_t EXPONENT = 0x7F800000;  // all ones: infinite or NaN
  std::uint32_t largest = 0;
  for (std::size_t i = 0; i < count; ++i)
    largest = std::max(largest, std::bit_cast<std::uint32_t>(values[i]) & EXPONENT);
  return largest != EXPONENT;
}

// Each throws Failure with DDPM_RT_NOT_FINITE. `sample` is the number of the sample in its seed.
[[noreturn]] void output_not_finite(std::size_t row, double t, std::uint64_t sample);
[[noreturn]] void image_not_finite(std::uint64_t sample);

// Throws Failure if an image [size] of samples first .. first + count - 1 is not finite after the
// last step. The check of the network's output does not see an overflow there.
void check_images_finite(const float* images, std::size_t size, std::uint64_t first,
                         std::size_t count);

}  // namespace ddpm_rt
