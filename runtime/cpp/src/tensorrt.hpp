// A TensorRT plan as an engine on a GPU; runtime/ddpm_rt/device/tensorrt.py once more.
#pragma once

#include <memory>
#include <string>

#include "cuda_gpu.hpp"
#include "device_engine.hpp"

namespace ddpm_rt {

// On this GPU, which is current. Throws Failure when the plan is not for it or for this TensorRT,
// or not the network that its record describes.
std::unique_ptr<DeviceEngine> open_tensorrt(const std::string& path, const cuda::Gpu& gpu);

}  // namespace ddpm_rt
