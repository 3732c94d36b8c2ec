// The inputs and outputs of an ONNX graph, compared with its card.
#pragma once

#include <onnxruntime_cxx_api.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "card.hpp"

namespace ddpm_rt {

using Shape = std::vector<std::int64_t>;  // -1: any size

// What differs between graphs and is not in the card.
struct Signature {
  ONNXTensorElementDataType time_type;
  std::int64_t fixed_batch;         // -1: any batch
  std::optional<Shape> time_shape;  // of a t that is one number for all images: {} or {1}

  bool whole_times() const { return time_type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT; }
};

// Throws Failure unless the graph has the inputs and the output of the card, in types that this
// library knows.
Signature check_signature(const Ort::Session& session, const Card& card, const std::string& path);

ONNXTensorElementDataType type_of(InputType type);

}  // namespace ddpm_rt
