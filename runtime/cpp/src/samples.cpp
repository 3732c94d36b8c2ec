#include "samples.hpp"

#include <algorithm>

#include "ddpm_rt/noise.h"

namespace ddpm_rt {

bool noise_is_exact() { return ddpm_rt_noise_is_exact() != 0; }

void normals(std::uint64_t seed, std::uint64_t sample, std::uint32_t step, std::size_t size,
             float* out) {
  for (std::size_t first = 0; first < size; first += 4) {
    float z[4];  // the last quad may have fewer
    ddpm_rt_normal4(seed, sample, step, static_cast<ddpm_rt_u32>(first / 4), z);
    std::copy_n(z, std::min<std::size_t>(4, size - first), out + first);
  }
}

}  // namespace ddpm_rt
