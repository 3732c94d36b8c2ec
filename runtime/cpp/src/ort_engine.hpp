// ONNX Runtime as an engine. runtime/ddpm_rt/engines/ort_cpu.py is its counterpart.
#pragma once

#include <memory>

#include "ddpm_rt.h"
#include "engine.hpp"
#include "model_source.hpp"

namespace ddpm_rt {

// DDPM_RT_AUTO is CUDA if a device above 0 is asked for, or if ONNX Runtime has CUDA and there is a
// GPU; else the CPU. If CUDA then cannot be opened on device 0, the CPU is used. Throws Failure.
std::unique_ptr<Engine> open_ort(const ModelSource& source, const ddpm_rt_open_options& options);

// Whether the ONNX Runtime library in use is new enough, and whether it was built with CUDA.
bool ort_is_usable();
bool ort_has_cuda();

}  // namespace ddpm_rt
