// Compares the network in a plan with its record.
#pragma once

#include <NvInferRuntime.h>

#include <string>

#include "plan_record.hpp"

namespace ddpm_rt {

// The first difference between an engine and its record, or "". Compares the name, the number of
// profiles, and the names, directions, locations, types and shapes of the tensors.
std::string network_fault(const nvinfer1::ICudaEngine& engine, const PlanRecord& record);

}  // namespace ddpm_rt
