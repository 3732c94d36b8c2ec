// What an ONNX file takes and gives, compared with its card.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <string>
#include <vector>

#include "card.hpp"

namespace ddpm_rt {

using Shape = std::vector<std::int64_t>;  // -1: any

// What the graph leaves open, and the card does not say.
struct Graph {
  ONNXTensorElementDataType time_type;
  bool one_time;             // t has rank 0
  std::int64_t fixed_batch;  // -1: any
};

// Throws Failure unless inputs and outputs are those of the card, of types that are known.
Graph check_graph(const Ort::Session& session, const Model& model, const std::string& path);

}  // namespace ddpm_rt
