#include "tensorrt.hpp"

#include <NvInferRuntime.h>

#include <algorithm>
#include <limits>

#include "error.hpp"
#include "plan.hpp"
#include "tensorrt_log.hpp"
#include "tensorrt_network.hpp"

namespace ddpm_rt {
namespace {

using nvinfer1::Dims, nvinfer1::ICudaEngine, nvinfer1::IExecutionContext, nvinfer1::IRuntime;

// What its calls share.
struct Network {
  std::string path;
  PlanRecord record;
  TensorRtLog log;
  std::unique_ptr<IRuntime> runtime;
  std::unique_ptr<ICudaEngine> engine;
  bool one_time;

  const Model& model() const { return record.card.model; }
  // Throws Failure with TensorRT's reason unless it `holds`.
  void check(bool holds, const std::string& fault) {
    if (!holds) throw Failure(DDPM_RT_ENGINE_FAILED, path + ": TensorRT " + fault + log.reason());
  }
};

Dims shape(std::initializer_list<std::int64_t> sides) {
  Dims dims = {};
  for (const std::int64_t side : sides)
    dims.d[dims.nbDims++] = static_cast<std::remove_reference_t<decltype(dims.d[0])>>(side);
  return dims;
}

class TensorRtCall final : public DeviceCall {
 public:
  TensorRtCall(Network& network, int profile, std::int64_t batch, cuda::Stream stream,
               const cuda::Driver& driver)
      : network_(network),
        context_(network.engine->createExecutionContext(
            nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED)) {
    network.check(context_ != nullptr, "makes no execution context");
    network.check(context_->setOptimizationProfileAsync(profile, stream),
                  "does not take profile " + std::to_string(profile));
    driver.check(driver.synchronize(stream), "the GPU failed");
    const Model& model = network.model();
    set(model.x, shape({batch, model.channels, model.height, model.width}));
    set(model.t, network.one_time ? shape({}) : shape({batch}));
    if (!model.y.empty()) set(model.y, shape({batch}));
    network.check(context_->inferShapes(0, nullptr) == 0, "does not know all shapes");
    scratch_bytes_ = context_->updateDeviceMemorySizeForShapes();
    if (scratch_bytes_ ==
        0)  // which may mean that it does not know: then as much as any batch needs
      scratch_bytes_ = static_cast<std::size_t>(
          std::max<std::int64_t>(network.engine->getDeviceMemorySizeForProfileV2(profile), 0));
  }

  std::size_t scratch_bytes() const override { return scratch_bytes_; }

  void bind(const DeviceBuffers& buffers) override {
    const Model& model = network_.model();
    if (scratch_bytes_ != 0)
      context_->setDeviceMemoryV2(reinterpret_cast<void*>(buffers.scratch),
                                  static_cast<std::int64_t>(scratch_bytes_));
    place(model.x, buffers.x);
    place(model.t, buffers.t);
    if (!model.y.empty()) place(model.y, buffers.y);
    place(model.out, buffers.out);
  }

  void enqueue(cuda::Stream stream) override {
    network_.check(context_->enqueueV3(stream), "did not take a call");
  }

 private:
  void set(const std::string& name, const Dims& dims) {
    network_.check(context_->setInputShape(name.c_str(), dims),
                   "does not take this batch of " + name);
  }
  void place(const std::string& name, cuda::Address address) {
    network_.check(context_->setTensorAddress(name.c_str(), reinterpret_cast<void*>(address)),
                   "does not take the address of " + name);
  }

  Network& network_;
  std::unique_ptr<IExecutionContext> context_;
  std::size_t scratch_bytes_ = 0;
};

class TensorRtEngine final : public DeviceEngine {
 public:
  TensorRtEngine(const std::string& path, const cuda::Gpu& gpu) : driver_(gpu.driver()) {
    Plan plan = read_plan(path);
    network_.path = path;
    network_.record = std::move(plan.record);
    check_fits(gpu);
    deserialise(plan.bytes);
    const auto fault = network_fault(*network_.engine, network_.record);
    if (!fault.empty())
      bad_file(path + " is not what its record says: " + fault + "; build the plan again");
    const char* const time = network_.model().t.c_str();
    network_.one_time = network_.engine->getTensorShape(time).nbDims == 0;
    time_type_ = type_of(network_.engine->getTensorDataType(time));
  }

  const Card& card() const override { return network_.record.card; }
  TimeType time_type() const override { return time_type_; }
  bool one_time() const override { return network_.one_time; }
  bool capturable() const override { return true; }

  // The smallest batch that holds `count` and a profile has, else the largest that there is.
  std::size_t batch_for(std::size_t count) const override {
    const auto wanted = static_cast<std::int64_t>(count);
    std::int64_t holding = std::numeric_limits<std::int64_t>::max(), largest = 0;
    for (const Profile& profile : network_.record.profiles) {
      if (profile.high >= wanted) holding = std::min(holding, std::max(profile.low, wanted));
      largest = std::max(largest, profile.high);
    }
    return static_cast<std::size_t>(largest >= wanted ? holding : largest);
  }

  std::unique_ptr<DeviceCall> prepare(std::size_t batch, cuda::Stream stream) override {
    const auto size = static_cast<std::int64_t>(batch);
    return std::make_unique<TensorRtCall>(network_, profile_of(size), size, stream, driver_);
  }

 private:
  std::string built() const {
    const PlanRecord& record = network_.record;
    std::string text = network_.path + " was built by " +
                       (record.flavour == "rtx" ? "TensorRT-RTX " : "TensorRT ") + record.version +
                       " for compute capability";
    for (const auto& one : record.capabilities) text += " " + one;
    return text;
  }

  void check_fits(const cuda::Gpu& gpu) const {
    if (network_.record.flavour != "tensorrt")
      bad_file(built() +
               ", and this library runs TensorRT's plans; build it again with --flavour "
               "tensorrt");
    if (!fits(network_.record, gpu.major(), gpu.minor()))
      bad_file(built() + ", and the GPU here, " + gpu.name() + ", is " +
               std::to_string(gpu.major()) + "." + std::to_string(gpu.minor()) +
               "; build it again on this one with `ddpm-rt build`");
  }

  void deserialise(const std::string& bytes) {
    network_.runtime.reset(nvinfer1::createInferRuntime(network_.log));
    network_.check(network_.runtime != nullptr, "does not start");
    network_.engine.reset(network_.runtime->deserializeCudaEngine(bytes.data(), bytes.size()));
    if (network_.engine == nullptr)
      bad_file(built() + ", and cannot be loaded by the TensorRT here, " + here() +
               network_.log.reason() + "; build it again with this one");
  }

  // 10.13.0 of 101300.
  static std::string here() {
    const int version = getInferLibVersion();
    return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100);
  }

  static TimeType type_of(nvinfer1::DataType type) {
    if (type == nvinfer1::DataType::kINT64) return TimeType::INT64;
    return type == nvinfer1::DataType::kINT32 ? TimeType::INT32 : TimeType::FLOAT32;
  }

  // The narrowest profile with this batch: TensorRT chose its kernels for few sizes.
  int profile_of(std::int64_t batch) const {
    const auto& profiles = network_.record.profiles;
    int narrowest = -1;
    for (int i = 0; i < static_cast<int>(profiles.size()); ++i) {
      const Profile& one = profiles[i];
      if (one.low > batch || one.high < batch) continue;
      if (narrowest < 0 || one.high - one.low < profiles[narrowest].high - profiles[narrowest].low)
        narrowest = i;
    }
    return narrowest;
  }

  const cuda::Driver& driver_;
  Network network_;
  TimeType time_type_ = TimeType::INT64;
};

}  // namespace

std::unique_ptr<DeviceEngine> open_tensorrt(const std::string& path, const cuda::Gpu& gpu) {
  return std::make_unique<TensorRtEngine>(path, gpu);
}

}  // namespace ddpm_rt
