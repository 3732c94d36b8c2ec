// What the caller asks for, against what the model can do.
#pragma once

#include <cstddef>
#include <cstdint>

#include "card.hpp"
#include "ddpm_rt.h"
#include "loop.hpp"

namespace ddpm_rt {

// Throws Failure for the caller's mistakes; `images` has room for `floats`.
void check_request(const ddpm_rt_sample_options& options, const Model& model, const float* images,
                   std::size_t floats);

// Of the samples first .. first + count - 1.
Labels labels_of(const ddpm_rt_sample_options& options, std::uint64_t first, std::size_t count);

}  // namespace ddpm_rt
