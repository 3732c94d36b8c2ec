// TensorRT as an engine on a GPU. runtime/ddpm_rt/engines/tensorrt.py is its counterpart.
#pragma once

#include <memory>

#include "cuda_gpu.hpp"
#include "device_engine.hpp"
#include "model_source.hpp"

namespace ddpm_rt {

// Opens a plan on this GPU, which must be current. Throws Failure if the plan is for another GPU or
// another TensorRT, or is not the network that its record describes.
std::unique_ptr<DeviceEngine> open_tensorrt(const ModelSource& source, const cuda::Gpu& gpu);

}  // namespace ddpm_rt
