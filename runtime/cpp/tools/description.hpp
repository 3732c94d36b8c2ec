// What decides an image besides its number, as texts that a PNG carries. They are those of Python:
// `describe` of runtime/ddpm_rt/requests/request.py and edit.py.
#pragma once

#include <ddpm_rt.hpp>

#include "arguments.hpp"
#include "initial_state.hpp"
#include "model_file.hpp"
#include "named_inputs.hpp"
#include "png_file.hpp"

Texts describe(const Arguments& asked, const ddpm_rt_info& info, const ModelDigests& digests,
               const InitialState& state, const InputValues& inputs,
               const InputValues& null_inputs);
