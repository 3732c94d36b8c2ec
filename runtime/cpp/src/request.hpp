// What the caller asks for, checked against the model.
#pragma once

#include <cstddef>
#include <cstdint>

#include "card.hpp"
#include "ddpm_rt.h"
#include "edit.hpp"
#include "given_inputs.hpp"
#include "host_loop.hpp"

namespace ddpm_rt {

struct Request {
  const ddpm_rt_sample_options options;
  const GivenInputs& inputs;       // of the samples
  const GivenInputs& null_inputs;  // with guidance: what stands for no condition

  bool is_edit() const { return Edit::is_asked(options); }
};

// Throws Failure for mistakes of the caller; Edit checks those of an edit. `images` has room for
// `floats` floats.
void check_request(const Request& request, const Model& model, const float* images,
                   std::size_t floats);

// What samples first .. first + count - 1 are conditioned on. Without labels in the options, a model
// with a null class draws each of its other classes in turn, as Python does: sample n has the class
// n mod K of the K others. An edit has the null class, because an image decides what it draws.
Conditions conditions_of(const Request& request, const Model& model, std::uint64_t first,
                         std::size_t count);

}  // namespace ddpm_rt
