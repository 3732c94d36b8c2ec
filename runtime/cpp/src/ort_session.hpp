// Sessions of ONNX Runtime.
#pragma once

#include <onnxruntime_cxx_api.h>

#include "ddpm_rt.h"
#include "model_source.hpp"

namespace ddpm_rt {

// A session with the threads of the options, on CUDA if the provider is DDPM_RT_CUDA, else on the
// CPU. Throws Ort::Exception, and Failure without CUDA.
Ort::Session open_session(const Ort::Env& env, const ModelSource& source,
                          const ddpm_rt_open_options& options);

}  // namespace ddpm_rt
