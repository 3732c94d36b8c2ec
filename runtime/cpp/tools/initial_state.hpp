// The initial state of a chain from files: images, with a mask, or noise.
#pragma once

#include <cstdint>
#include <ddpm_rt.hpp>
#include <vector>

#include "arguments.hpp"

struct InitialState {
  std::vector<float> images, noise;  // [N, C, ...]; empty: not asked for
  std::vector<std::uint8_t> mask;
};

// Throws UsageError for options that exclude each other or files that do not fit a model that draws
// samples of `shape`, and std::runtime_error for files that cannot be read.
// Images beyond [-1, 1] are taken for bytes and refused, unless they are latents.
InitialState read_initial_state(const Arguments& asked, const std::vector<std::size_t>& shape,
                                bool is_latent);

// The number of samples: as asked for, or as many as the file holds, or 16.
std::uint64_t count_of(const Arguments& asked, const InitialState& state, std::size_t size);
