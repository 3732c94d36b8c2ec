#include "tensorrt_network.hpp"

#include <algorithm>
#include <vector>

namespace ddpm_rt {
namespace {

using nvinfer1::DataType, nvinfer1::ICudaEngine, nvinfer1::TensorIOMode, nvinfer1::TensorLocation;

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

DataType type_of(InputType type) {
  if (type == InputType::INT64) return DataType::kINT64;
  return type == InputType::INT32 ? DataType::kINT32 : DataType::kFLOAT;
}

std::vector<Expected> expected_of(const Card& card) {
  const Model& model = card.model;
  const auto INPUT = TensorIOMode::kINPUT;
  std::vector<DataType> times = {DataType::kFLOAT};
  if (card.process.kind == Process::Kind::BETAS)
    times.insert(times.end(), {DataType::kINT64, DataType::kINT32});
  std::vector<Expected> all = {
      {model.x, INPUT, {DataType::kFLOAT}, model.shape, false},
      {model.t, INPUT, times, {}, true},
      {model.out, TensorIOMode::kOUTPUT, {DataType::kFLOAT}, model.output_shape(), false}};
  if (!model.y.empty()) all.push_back({model.y, INPUT, {DataType::kINT64}, {}, false});
  for (const Input& input : model.inputs)
    all.push_back({input.name, INPUT, {type_of(input.type)}, input.shape, false});
  return all;
}

}  // namespace

std::string network_fault(const ICudaEngine& engine, const PlanRecord& record) {
  const char* const name = engine.getName();
  if (name == nullptr || record.name != name) return "it contains another network";
  const auto expected = expected_of(record.card);
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
