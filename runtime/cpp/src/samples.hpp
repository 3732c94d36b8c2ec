// Which samples of a seed, and their noise.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ddpm_rt {

// Samples first .. first + count - 1 of a seed.
struct Samples {
  std::uint64_t seed, first;
  std::size_t count;
};

// Writes `size` standard normals: elements 0 .. size - 1 of one step of one sample.
void normals(std::uint64_t seed, std::uint64_t sample, std::uint32_t step, std::size_t size,
             float* out);

// Whether the compiler kept the arithmetic of the noise as it is defined.
bool noise_is_exact();

}  // namespace ddpm_rt
