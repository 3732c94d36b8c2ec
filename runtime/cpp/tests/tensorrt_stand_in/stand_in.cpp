#include <NvInferRuntime.h>

#include <cmath>
#include <cstring>
#include <sstream>

#include "toy.hpp"

extern "C" {  // of the stand-in for the driver
int stand_in_enqueue(std::uintptr_t stream, const char* name, void (*function)(void*), void* user);
int stand_in_touch(const char* who, std::uintptr_t at, std::size_t size);
void stand_in_fault(const char* what);
int cuStreamIsCapturing(std::uintptr_t stream, int* out);

std::int32_t getInferLibVersion() noexcept { return 100300; }
}

namespace nvinfer1 {
namespace {

void say(ILogger& logger, const std::string& why) {
  logger.log(ILogger::Severity::kERROR,
             ("IExecutionContext::enqueueV3: Error Code 3: API Usage Error (" + why +
              "\n. In check at runtime/api.cpp:1)")
                 .c_str());
}

std::size_t size_of(DataType type) { return type == DataType::kINT64 ? 8 : 4; }

DataType type_named(const std::string& name) {
  if (name == "int64") return DataType::kINT64;
  if (name == "int32") return DataType::kINT32;
  return name == "half" ? DataType::kHALF : DataType::kFLOAT;
}

void read_tensor(std::istream& line, Network& network) {
  std::string name, mode, type;
  Tensor tensor = {};
  line >> name >> mode >> type >> tensor.dims.nbDims;
  for (int i = 0; i < tensor.dims.nbDims; ++i) line >> tensor.dims.d[i];
  tensor.mode = mode == "input" ? TensorIOMode::kINPUT : TensorIOMode::kOUTPUT;
  tensor.type = type_named(type);
  network.order.push_back(name);
  network.tensors[name] = tensor;
}

Network network_of(const std::string& text) {
  Network network;
  std::istringstream lines(text);
  for (std::string row; std::getline(lines, row);) {
    std::istringstream line(row);
    std::string word;
    line >> word;
    if (word == "name") std::getline(line >> std::ws, network.name);
    if (word == "tensor") read_tensor(line, network);
    if (word == "scratch") line >> network.scratch;
    if (word == "no_capture") network.no_capture = true;
    if (word == "poison") line >> network.poison;
    if (word == "profile") {
      std::int64_t low = 0, high = 0;
      line >> low >> high;
      network.profiles.push_back({low, high});
    }
  }
  return network;
}

}  // namespace

ICudaEngine* IRuntime::deserializeCudaEngine(const void* data, std::size_t size) noexcept {
  const std::string text(static_cast<const char*>(data), size);
  if (text.starts_with("ftrt stand-in\n")) return new ICudaEngine(network_of(text), logger_);
  say(logger_, "Magic tag does not match");
  return nullptr;
}

IExecutionContext* ICudaEngine::createExecutionContext(
    ExecutionContextAllocationStrategy strategy) noexcept {
  if (strategy != ExecutionContextAllocationStrategy::kUSER_MANAGED)
    stand_in_fault("a context whose memory is not the caller's");
  return new IExecutionContext(network_, logger_);
}

TensorIOMode ICudaEngine::getTensorIOMode(const char* name) const noexcept {
  const auto found = network_.tensors.find(name);
  return found == network_.tensors.end() ? TensorIOMode::kNONE : found->second.mode;
}

DataType ICudaEngine::getTensorDataType(const char* name) const noexcept {
  return network_.tensors.at(name).type;
}

Dims ICudaEngine::getTensorShape(const char* name) const noexcept {
  return network_.tensors.at(name).dims;
}

IExecutionContext::IExecutionContext(const Network& network, ILogger& logger)
    : network_(network), logger_(logger) {}

bool IExecutionContext::refuse(const std::string& why) const {
  say(logger_, why);
  stand_in_fault(("TensorRT: " + why).c_str());
  return false;
}

bool IExecutionContext::setOptimizationProfileAsync(std::int32_t profile, cudaStream_t) noexcept {
  if (profile < 0 || profile >= static_cast<std::int32_t>(network_.profiles.size()))
    return refuse("no such profile");
  profile_ = profile;
  return true;
}

bool IExecutionContext::setInputShape(const char* name, const Dims& dims) noexcept {
  const auto found = network_.tensors.find(name);
  if (found == network_.tensors.end() || profile_ < 0) return refuse("a shape of no input");
  const Dims& known = found->second.dims;
  bool right = known.nbDims == dims.nbDims;
  for (int i = 0; right && i < dims.nbDims; ++i)
    right = dims.d[i] == known.d[i] || (i == 0 && known.d[i] == -1);
  if (!right) return refuse("another shape than the network's");
  if (dims.nbDims != 0 && known.d[0] == -1) {
    if (batch_ != 0 && dims.d[0] != batch_) return refuse("inputs of several batches");
    batch_ = dims.d[0];
    if (batch_ < network_.profiles[profile_][0] || batch_ > network_.profiles[profile_][1])
      return refuse("a batch outside the profile");
  }
  shapes_[name] = dims;
  return true;
}

std::int32_t IExecutionContext::inferShapes(std::int32_t, const char**) noexcept {
  std::int32_t lacking = 0;
  for (const auto& [name, tensor] : network_.tensors)
    lacking += tensor.mode == TensorIOMode::kINPUT && shapes_.count(name) == 0;
  return lacking;
}

std::size_t IExecutionContext::updateDeviceMemorySizeForShapes() noexcept {
  return network_.scratch * static_cast<std::size_t>(batch_);
}

void IExecutionContext::setDeviceMemoryV2(void* memory, std::int64_t size) noexcept {
  memory_ = memory;
  memory_size_ = size;
}

bool IExecutionContext::setTensorAddress(const char* name, void* address) noexcept {
  if (network_.tensors.count(name) == 0) return refuse("the address of no tensor");
  addresses_[name] = address;
  return true;
}

std::size_t IExecutionContext::bytes_of(const std::string& name) const {
  const Tensor& tensor = network_.tensors.at(name);
  std::size_t bytes = size_of(tensor.type);
  for (int i = 0; i < tensor.dims.nbDims; ++i)
    bytes *= static_cast<std::size_t>(tensor.dims.d[i] == -1 ? batch_ : tensor.dims.d[i]);
  return bytes;
}

std::string IExecutionContext::misuse() const {
  if (profile_ < 0) return "no profile";
  for (const auto& [name, tensor] : network_.tensors) {
    if (tensor.mode == TensorIOMode::kINPUT && shapes_.count(name) == 0)
      return "no shape of " + name;
    const auto address = addresses_.find(name);
    if (address == addresses_.end() || address->second == nullptr) return "no address of " + name;
    if (reinterpret_cast<std::uintptr_t>(address->second) % 256 != 0) return name + " not aligned";
  }
  const auto scratch = static_cast<std::int64_t>(network_.scratch) * batch_;
  if (scratch != 0 && (memory_ == nullptr || memory_size_ < scratch)) return "no memory was set";
  if (reinterpret_cast<std::uintptr_t>(memory_) % 256 != 0) return "memory that is not aligned";
  return "";
}

// The first call allocates memory, as in TensorRT.
bool IExecutionContext::enqueueV3(cudaStream_t stream) noexcept {
  if (const auto why = misuse(); !why.empty()) return refuse(why);
  const auto handle = reinterpret_cast<std::uintptr_t>(stream);
  int capturing = 0;
  if (cuStreamIsCapturing(handle, &capturing) != 0) return false;
  if (capturing != 0 && !warm_) return refuse("a first call in a capture");
  if (capturing != 0 && network_.no_capture) {
    say(logger_, "the network cannot be captured");
    return false;
  }
  warm_ = true;
  return stand_in_enqueue(
             handle, "network",
             [](void* user) { static_cast<const IExecutionContext*>(user)->run(); }, this) == 0;
}

void IExecutionContext::add_input(const std::string& name, std::size_t image, std::size_t size,
                                  float* out) const {
  const DataType type = network_.tensors.at(name).type;
  const std::size_t numbers = bytes_of(name) / size_of(type) / static_cast<std::size_t>(batch_);
  const void* const entries = addresses_.at(name);
  if (type == DataType::kINT64)
    return toy_input(static_cast<const std::int64_t*>(entries) + image * numbers, numbers, size,
                     out);
  if (type == DataType::kINT32)
    return toy_input(static_cast<const std::int32_t*>(entries) + image * numbers, numbers, size,
                     out);
  toy_input(static_cast<const float*>(entries) + image * numbers, numbers, size, out);
}

void IExecutionContext::run() const {
  for (const auto& [name, address] : addresses_)
    if (stand_in_touch(name.c_str(), reinterpret_cast<std::uintptr_t>(address), bytes_of(name)) !=
        0)
      return;
  const std::size_t scratch = network_.scratch * static_cast<std::size_t>(batch_);
  if (scratch != 0) {
    if (stand_in_touch("scratch", reinterpret_cast<std::uintptr_t>(memory_), scratch) != 0) return;
    std::memset(memory_, 0xFF, scratch);
  }
  const auto images = static_cast<std::size_t>(batch_);
  const std::size_t size = bytes_of("x") / sizeof(float) / images;
  const std::size_t out_size = bytes_of("out") / sizeof(float) / images;
  const Tensor& time = network_.tensors.at("t");
  const auto* const labels =
      addresses_.count("y") == 0 ? nullptr : static_cast<const std::int64_t*>(addresses_.at("y"));
  for (std::size_t image = 0; image < images; ++image) {
    const std::size_t at = time.dims.nbDims == 0 || time.dims.d[0] == 1 ? 0 : image;
    const void* const t = addresses_.at("t");
    const float told = time.type == DataType::kINT64   ? static_cast<const std::int64_t*>(t)[at]
                       : time.type == DataType::kINT32 ? static_cast<const std::int32_t*>(t)[at]
                                                       : static_cast<const float*>(t)[at];
    float* const out = static_cast<float*>(addresses_.at("out")) + image * out_size;
    toy(static_cast<const float*>(addresses_.at("x")) + image * size, told,
        labels == nullptr ? 0 : labels[image], size, out_size, out);
    for (const auto& [name, tensor] : network_.tensors)
      if (tensor.mode == TensorIOMode::kINPUT && name != "x" && name != "t" && name != "y")
        add_input(name, image, size, out);
    if (told == static_cast<float>(network_.poison)) out[size - 1] = std::nanf("");
  }
}

}  // namespace nvinfer1
