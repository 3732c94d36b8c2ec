// The part of TensorRT's interface that the library uses, for tests on machines without a GPU. An
// "engine" is a text file, and its network is toy.hpp. A misuse that TensorRT would reject is a
// fault of the test.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

struct CUstream_st;
using cudaStream_t = CUstream_st*;

extern "C" std::int32_t getInferLibVersion() noexcept;

namespace nvinfer1 {

enum class DataType : std::int32_t { kFLOAT = 0, kHALF = 1, kINT8 = 2, kINT32 = 3, kINT64 = 8 };
enum class TensorIOMode : std::int32_t { kNONE = 0, kINPUT = 1, kOUTPUT = 2 };
enum class TensorLocation : std::int32_t { kDEVICE = 0, kHOST = 1 };
enum class ExecutionContextAllocationStrategy : std::int32_t { kSTATIC = 0, kUSER_MANAGED = 2 };

struct Dims {
  std::int32_t nbDims;
  std::int64_t d[8];
};

class ILogger {
 public:
  enum class Severity : std::int32_t { kINTERNAL_ERROR = 0, kERROR = 1, kWARNING = 2 };
  virtual void log(Severity severity, const char* message) noexcept = 0;
  virtual ~ILogger() = default;
};

// One tensor of the file: `tensor NAME input|output TYPE RANK SIDES...`.
struct Tensor {
  TensorIOMode mode;
  DataType type;
  Dims dims;
};

// The file, read.
struct Network {
  std::string name;
  std::vector<std::vector<std::int64_t>> profiles;  // smallest and largest batch
  std::vector<std::string> order;
  std::map<std::string, Tensor> tensors;
  std::size_t scratch = 0;  // bytes an image
  bool no_capture = false;
  std::int64_t poison = -1;  // the time at which the output is NaN
};

class IExecutionContext {
 public:
  IExecutionContext(const Network& network, ILogger& logger);
  bool setOptimizationProfileAsync(std::int32_t profile, cudaStream_t stream) noexcept;
  bool setInputShape(const char* name, const Dims& dims) noexcept;
  std::int32_t inferShapes(std::int32_t most, const char** names) noexcept;
  std::size_t updateDeviceMemorySizeForShapes() noexcept;
  void setDeviceMemoryV2(void* memory, std::int64_t size) noexcept;
  bool setTensorAddress(const char* name, void* address) noexcept;
  bool enqueueV3(cudaStream_t stream) noexcept;

 private:
  bool refuse(const std::string& why) const;  // a misuse: logged, and a fault
  std::string misuse() const;
  std::size_t bytes_of(const std::string& name) const;
  void add_input(const std::string& name, std::size_t image, std::size_t size, float* out) const;
  void run() const;

  const Network& network_;
  ILogger& logger_;
  std::int32_t profile_ = -1;
  std::int64_t batch_ = 0;
  std::map<std::string, Dims> shapes_;
  std::map<std::string, void*> addresses_;
  void* memory_ = nullptr;
  std::int64_t memory_size_ = 0;
  bool warm_ = false;
};

class ICudaEngine {
 public:
  ICudaEngine(Network network, ILogger& logger) : network_(std::move(network)), logger_(logger) {}
  IExecutionContext* createExecutionContext(ExecutionContextAllocationStrategy strategy) noexcept;
  const char* getName() const noexcept { return network_.name.c_str(); }
  std::int32_t getNbIOTensors() const noexcept {
    return static_cast<std::int32_t>(network_.order.size());
  }
  std::int32_t getNbOptimizationProfiles() const noexcept {
    return static_cast<std::int32_t>(network_.profiles.size());
  }
  TensorIOMode getTensorIOMode(const char* name) const noexcept;
  TensorLocation getTensorLocation(const char*) const noexcept { return TensorLocation::kDEVICE; }
  DataType getTensorDataType(const char* name) const noexcept;
  Dims getTensorShape(const char* name) const noexcept;
  std::int64_t getDeviceMemorySizeForProfileV2(std::int32_t) const noexcept { return 0; }

 private:
  const Network network_;
  ILogger& logger_;
};

class IRuntime {
 public:
  explicit IRuntime(ILogger& logger) : logger_(logger) {}
  ICudaEngine* deserializeCudaEngine(const void* data, std::size_t size) noexcept;

 private:
  ILogger& logger_;
};

inline IRuntime* createInferRuntime(ILogger& logger) noexcept { return new IRuntime(logger); }

}  // namespace nvinfer1
