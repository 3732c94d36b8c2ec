#include "ort_signature.hpp"

#include <algorithm>

#include "error.hpp"
#include "given_inputs.hpp"
#include "limits.hpp"

namespace ddpm_rt {
namespace {

struct Tensor {
  std::string name;
  ONNXTensorElementDataType type;  // UNDEFINED for other values than tensors
  Shape shape;                     // -1: any
};

Tensor describe(std::string name, const Ort::TypeInfo& info) {
  if (info.GetONNXType() != ONNX_TYPE_TENSOR)
    return {std::move(name), ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED, {}};
  const auto tensor = info.GetTensorTypeAndShapeInfo();
  return {std::move(name), tensor.GetElementType(), tensor.GetShape()};
}

std::vector<Tensor> inputs_of(const Ort::Session& session) {
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<Tensor> found;
  for (std::size_t i = 0; i < session.GetInputCount(); ++i)
    found.push_back(
        describe(session.GetInputNameAllocated(i, allocator).get(), session.GetInputTypeInfo(i)));
  return found;
}

std::vector<Tensor> outputs_of(const Ort::Session& session) {
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<Tensor> found;
  for (std::size_t i = 0; i < session.GetOutputCount(); ++i)
    found.push_back(
        describe(session.GetOutputNameAllocated(i, allocator).get(), session.GetOutputTypeInfo(i)));
  return found;
}

const Tensor& input(const std::vector<Tensor>& inputs, const std::string& name,
                    const std::string& path, const std::vector<ONNXTensorElementDataType>& types) {
  for (const Tensor& tensor : inputs)
    if (tensor.name == name && std::find(types.begin(), types.end(), tensor.type) != types.end())
      return tensor;
  bad_file(path + ": the graph must have an input '" + name +
           "' (x: float32; t: int64, int32 or float32; y: int64; others as the card says); export "
           "the model again");
}

void check_inputs(const std::vector<Tensor>& inputs, const Model& model, const std::string& path) {
  if (inputs.size() != (model.y.empty() ? 2 : 3) + model.inputs.size())
    bad_file(path + ": the graph has inputs that the card does not name; export the model again");
}

// A size for each image: any size, or the batch of the graph.
bool is_one_per_image(const Shape& shape, std::int64_t batch) {
  return shape.size() == 1 && (shape[0] < 0 || shape[0] == batch);
}

void check_labels(const std::vector<Tensor>& inputs, const Model& model, const std::string& path,
                  std::int64_t batch) {
  const Tensor& y = input(inputs, model.y, path, {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64});
  if (!is_one_per_image(y.shape, batch))
    bad_file(path + ": '" + model.y + "' must be [batch], a label for each image; export again");
}

// Whether the sides after the first are these.
bool has_sides(const Shape& shape, const Sides& sides) {
  return shape.size() == sides.size() + 1 &&
         std::equal(sides.begin(), sides.end(), shape.begin() + 1);
}

void check_named_inputs(const std::vector<Tensor>& inputs, const Model& model,
                        const std::string& path, std::int64_t batch) {
  for (const Input& expected : model.inputs) {
    const Shape shape = input(inputs, expected.name, path, {type_of(expected.type)}).shape;
    if (!has_sides(shape, expected.shape) || !is_one_per_image({shape[0]}, batch))
      bad_file(path + ": the shape of '" + expected.name + "' differs from the card: " +
               text_of(expected) + " for each sample; export the model again");
  }
}

// Of a t that is one number for all images; nothing for a t of one for each image.
std::optional<Shape> time_shape(const Tensor& t, const std::string& path, std::int64_t batch) {
  if (is_one_per_image(t.shape, batch)) return std::nullopt;
  if (t.shape.empty() || t.shape == Shape{1}) return t.shape;
  bad_file(path + ": '" + t.name +
           "' must be a number, [1], or [batch], a timestep for each image; export again");
}

void check_outputs(const std::vector<Tensor>& outputs, const Model& model,
                   const std::string& path) {
  const auto is_float = [](const Tensor& tensor) {
    return tensor.type == ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
  };
  if (outputs.size() != 1 || outputs[0].name != model.out || !is_float(outputs[0]))
    bad_file(path + ": the graph must have one output, '" + model.out +
             "' (float32); export the model again");
  const Shape& shape = outputs[0].shape;
  if (shape.size() > 1 && shape[1] >= 0 && shape[1] != model.output_channels)
    bad_file(path + ": the output has " + std::to_string(shape[1]) +
             " channels, but the card says " + std::to_string(model.output_channels) +
             "; export the model again");
}

// A time that is no whole number needs a float.
std::vector<ONNXTensorElementDataType> time_types(const Card& card) {
  if (card.process.kind != Process::Kind::BETAS) return {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT};
  return {ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64, ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
          ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT};
}

}  // namespace

ONNXTensorElementDataType type_of(InputType type) {
  if (type == InputType::INT64) return ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64;
  return type == InputType::INT32 ? ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32
                                  : ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT;
}

Signature check_signature(const Ort::Session& session, const Card& card, const std::string& path) {
  const Model& model = card.model;
  const auto inputs = inputs_of(session);
  check_inputs(inputs, model, path);
  check_outputs(outputs_of(session), model, path);
  const Tensor& x = input(inputs, model.x, path, {ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT});
  const Tensor& t = input(inputs, model.t, path, time_types(card));
  if (!has_sides(x.shape, model.shape))
    bad_file(path + ": the shape of x differs from the card; export the model again");
  if (x.shape[0] == 0 || x.shape[0] > MAX_BATCH)
    bad_file(path + ": the batch of the graph is " + std::to_string(x.shape[0]) +
             "; export the model again");
  if (!model.y.empty()) check_labels(inputs, model, path, x.shape[0]);
  check_named_inputs(inputs, model, path, x.shape[0]);
  return {t.type, x.shape[0], time_shape(t, path, x.shape[0])};
}

}  // namespace ddpm_rt
