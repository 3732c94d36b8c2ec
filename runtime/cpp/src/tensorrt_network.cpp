#include "tensorrt_network.hpp"

#include <algorithm>
#include <vector>

namespace ddpm_rt {
namespace {

using nvinfer1::DataType, nvinfer1::ICudaEngine, nvinfer1::TensorIOMode, nvinfer1::TensorLocation;

using Sides = std::vector<std::int64_t>;

// The expected facts of a tensor. `sides` follow the batch.
struct Expected {
  std::string name;
  TensorIOMode mode;
  std::vector<DataType> types;
  Sides sides;
  bool may_be_one;  // of rank 0
};

std::string shape_fault(const nvinfer1::Dims& shape, const Expected& expected) {
  if (shape.nbDims == 0 && expected.may_be_one) return "";
  bool right = shape.nbDims == static_cast<int>(expected.sides.size()) + 1;
  for (std::size_t i = 0; right && i < expected.sides.size(); ++i)
    right = shape.d[i + 1] == -1 || shape.d[i + 1] == expected.sides[i];
  return right ? "" : "'" + expected.name + "' has another shape than the card says";
}

std::string tensor_fault(const ICudaEngine& engine, const Expected& expected) {
  const char* const name = expected.name.c_str();
  const std::string begin = "'" + expected.name + "' is ";
  if (engine.getTensorIOMode(name) != expected.mode ||
      engine.getTensorLocation(name) != TensorLocation::kDEVICE)
    return begin + "not an " + (expected.mode == TensorIOMode::kINPUT ? "input" : "output") +
           " on the GPU";
  const auto type = engine.getTensorDataType(name);
  if (std::find(expected.types.begin(), expected.types.end(), type) == expected.types.end())
    return begin + "of another type than the card implies";
  return shape_fault(engine.getTensorShape(name), expected);
}

std::vector<Expected> expected_of(const Model& model) {
  const Sides image = {model.channels, model.height, model.width};
  const Sides output = {model.output_channels, model.height, model.width};
  const auto INPUT = TensorIOMode::kINPUT;
  std::vector<Expected> all = {
      {model.x, INPUT, {DataType::kFLOAT}, image, false},
      {model.t, INPUT, {DataType::kINT64, DataType::kINT32, DataType::kFLOAT}, {}, true},
      {model.out, TensorIOMode::kOUTPUT, {DataType::kFLOAT}, output, false}};
  if (!model.y.empty()) all.push_back({model.y, INPUT, {DataType::kINT64}, {}, false});
  return all;
}

}  // namespace

std::string network_fault(const ICudaEngine& engine, const PlanRecord& record) {
  const char* const name = engine.getName();
  if (name == nullptr || record.name != name) return "it contains another network";
  const auto expected = expected_of(record.card.model);
  if (engine.getNbIOTensors() != static_cast<int>(expected.size()))
    return "it has " + std::to_string(engine.getNbIOTensors()) + " tensors; the card names " +
           std::to_string(expected.size());
  if (engine.getNbOptimizationProfiles() != static_cast<int>(record.profiles.size()))
    return "it has " + std::to_string(engine.getNbOptimizationProfiles()) +
           " profiles; the record has " + std::to_string(record.profiles.size());
  for (const Expected& one : expected)
    if (auto fault = tensor_fault(engine, one); !fault.empty()) return fault;
  return "";
}

}  // namespace ddpm_rt
