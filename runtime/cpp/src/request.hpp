// Checks the options of the caller against the model.
#pragma once

#include <cstddef>
#include <cstdint>

#include "card.hpp"
#include "ddpm_rt.h"
#include "host_loop.hpp"

namespace ddpm_rt {

// Throws Failure for mistakes of the caller. `images` has room for `floats` floats.
void check_request(const ddpm_rt_sample_options& options, const Model& model, const float* images,
                   std::size_t floats);

// The labels of samples first .. first + count - 1. Without labels in the options, a model with a
// null class draws each of its other classes in turn, as Python does: sample n has the class
// n mod K of the K others.
Labels labels_of(const ddpm_rt_sample_options& options, const Model& model, std::uint64_t first,
                 std::size_t count);

}  // namespace ddpm_rt
