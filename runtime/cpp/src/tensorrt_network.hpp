// Whether the network in a plan is the one that its card describes.
#pragma once

#include <NvInferRuntime.h>

#include <string>

#include "plan.hpp"

namespace ddpm_rt {

// What keeps an engine from being the one of this record, or nothing: its name, the names,
// directions, places, types and shapes of its tensors, and how many profiles it has.
std::string network_fault(const nvinfer1::ICudaEngine& engine, const PlanRecord& record);

}  // namespace ddpm_rt
