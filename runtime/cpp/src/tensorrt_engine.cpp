#include "tensorrt_engine.hpp"

#include <NvInferRuntime.h>

#include <algorithm>
#include <limits>
#include <optional>

#include "error.hpp"
#include "plan_record.hpp"
#include "tensorrt_log.hpp"
#include "tensorrt_network.hpp"

namespace ddpm_rt {
namespace {

using nvinfer1::Dims, nvinfer1::ICudaEngine, nvinfer1::IExecutionContext, nvinfer1::IRuntime;

// A plan in TensorRT, shared by its calls.
struct LoadedPlan {
  std::string path;
  PlanRecord record;
  TensorRtLog log;
  std::unique_ptr<IRuntime> runtime;
  std::unique_ptr<ICudaEngine> engine;
  std::optional<Dims> time_shape;  // of a t that is one number for all images: {} or {1}

  const Model& model() const { return record.card.model; }
  // Throws Failure with the reason of TensorRT unless `holds`.
  void check(bool holds, const std::string& fault) {
    if (!holds) engine_failed(path + ": TensorRT " + fault + log.reason());
  }
};

// The shape of a batch of tensors with these sides.
Dims batched(std::int64_t batch, const Sides& sides) {
  Dims dims = {};
  dims.d[dims.nbDims++] = static_cast<std::remove_reference_t<decltype(dims.d[0])>>(batch);
  for (const std::int64_t side : sides)
    dims.d[dims.nbDims++] = static_cast<std::remove_reference_t<decltype(dims.d[0])>>(side);
  return dims;
}

class TensorRtCall final : public DeviceCall {
 public:
  TensorRtCall(LoadedPlan& plan, int profile, std::int64_t batch, cuda::Stream stream,
               const cuda::Driver& driver)
      : plan_(plan),
        context_(plan.engine->createExecutionContext(
            nvinfer1::ExecutionContextAllocationStrategy::kUSER_MANAGED)) {
    plan.check(context_ != nullptr, "cannot make an execution context");
    plan.check(context_->setOptimizationProfileAsync(profile, stream),
               "rejects profile " + std::to_string(profile));
    driver.check(driver.synchronize(stream), "the GPU failed");
    const Model& model = plan.model();
    set(model.x, batched(batch, model.shape));
    set(model.t, plan.time_shape.value_or(batched(batch, {})));
    if (!model.y.empty()) set(model.y, batched(batch, {}));
    for (const Input& input : model.inputs) set(input.name, batched(batch, input.shape));
    plan.check(context_->inferShapes(0, nullptr) == 0, "cannot infer all shapes");
    scratch_bytes_ = context_->updateDeviceMemorySizeForShapes();
    if (scratch_bytes_ == 0)  // none, or unknown: use the size for the largest batch
      scratch_bytes_ = static_cast<std::size_t>(
          std::max<std::int64_t>(plan.engine->getDeviceMemorySizeForProfileV2(profile), 0));
  }

  std::size_t scratch_bytes() const override { return scratch_bytes_; }

  void bind(const DeviceBuffers& buffers) override {
    const Model& model = plan_.model();
    if (scratch_bytes_ != 0)
      context_->setDeviceMemoryV2(reinterpret_cast<void*>(buffers.scratch),
                                  static_cast<std::int64_t>(scratch_bytes_));
    place(model.x, buffers.x);
    place(model.t, buffers.t);
    if (!model.y.empty()) place(model.y, buffers.y);
    place(model.out, buffers.out);
    for (std::size_t i = 0; i < model.inputs.size(); ++i)
      place(model.inputs[i].name, buffers.inputs[i]);
  }

  void enqueue(cuda::Stream stream) override {
    plan_.check(context_->enqueueV3(stream), "rejected a call");
  }

 private:
  void set(const std::string& name, const Dims& dims) {
    plan_.check(context_->setInputShape(name.c_str(), dims), "rejects this batch of " + name);
  }
  void place(const std::string& name, cuda::Address address) {
    plan_.check(context_->setTensorAddress(name.c_str(), reinterpret_cast<void*>(address)),
                "rejects the address of " + name);
  }

  LoadedPlan& plan_;
  std::unique_ptr<IExecutionContext> context_;
  std::size_t scratch_bytes_ = 0;
};

class TensorRtEngine final : public DeviceEngine {
 public:
  TensorRtEngine(const ModelSource& source, const cuda::Gpu& gpu) : driver_(gpu.driver()) {
    plan_.path = source.name;
    plan_.record = read_plan_record(source);
    check_fits(gpu);
    std::string file;
    deserialise(read_plan(source, plan_.record, file));
    const auto fault = network_fault(*plan_.engine, plan_.record);
    if (!fault.empty())
      bad_file(source.name + " does not match its record: " + fault + "; build the plan again");
    const char* const time = plan_.model().t.c_str();
    plan_.time_shape = shape_of_one_time();
    time_type_ = type_of(plan_.engine->getTensorDataType(time));
  }

  const Card& card() const override { return plan_.record.card; }
  FittedTables fitted_tables() const override { return plan_.record.steps; }
  TimeType time_type() const override { return time_type_; }
  bool one_time() const override { return plan_.time_shape.has_value(); }
  bool capturable() const override { return true; }

  // The smallest batch of a profile that is at least `count`, else the largest batch.
  std::size_t batch_for(std::size_t count) const override {
    const auto wanted = static_cast<std::int64_t>(count);
    std::int64_t smallest = std::numeric_limits<std::int64_t>::max(), largest = 0;
    for (const Profile& profile : plan_.record.profiles) {
      if (profile.high >= wanted) smallest = std::min(smallest, std::max(profile.low, wanted));
      largest = std::max(largest, profile.high);
    }
    return static_cast<std::size_t>(largest >= wanted ? smallest : largest);
  }

  std::unique_ptr<DeviceCall> prepare(std::size_t batch, cuda::Stream stream) override {
    const auto size = static_cast<std::int64_t>(batch);
    return std::make_unique<TensorRtCall>(plan_, profile_of(size), size, stream, driver_);
  }

 private:
  // [1] is also the t of a plan for batch 1 alone.
  std::optional<Dims> shape_of_one_time() const {
    const Dims time = plan_.engine->getTensorShape(plan_.model().t.c_str());
    const Dims images = plan_.engine->getTensorShape(plan_.model().x.c_str());
    const bool is_one = time.nbDims == 1 && time.d[0] == 1 && images.d[0] != 1;
    return time.nbDims == 0 || is_one ? std::optional(time) : std::nullopt;
  }

  std::string built() const {
    const PlanRecord& record = plan_.record;
    std::string text = plan_.path + " was built by " +
                       (record.flavour == "rtx" ? "TensorRT-RTX " : "TensorRT ") + record.version +
                       " for compute capability";
    for (const auto& one : record.capabilities) text += " " + one;
    return text;
  }

  void check_fits(const cuda::Gpu& gpu) const {
    if (plan_.record.flavour != "tensorrt")
      bad_file(built() +
               ", and this library runs plans of TensorRT; build the plan again with --flavour "
               "tensorrt");
    if (!fits(plan_.record, gpu.major(), gpu.minor()))
      bad_file(built() + ", and this GPU, " + gpu.name() + ", has " + std::to_string(gpu.major()) +
               "." + std::to_string(gpu.minor()) +
               "; build the plan again on this GPU with `ddpm-rt build`");
  }

  void deserialise(std::string_view bytes) {
    plan_.runtime.reset(nvinfer1::createInferRuntime(plan_.log));
    plan_.check(plan_.runtime != nullptr, "cannot be started");
    plan_.engine.reset(plan_.runtime->deserializeCudaEngine(bytes.data(), bytes.size()));
    if (plan_.engine == nullptr)
      bad_file(built() + ", and TensorRT " + library_version() + " cannot load it" +
               plan_.log.reason() + "; build the plan again with this version");
  }

  // 101300 is version 10.13.0.
  static std::string library_version() {
    const int version = getInferLibVersion();
    return std::to_string(version / 10000) + "." + std::to_string(version / 100 % 100) + "." +
           std::to_string(version % 100);
  }

  static TimeType type_of(nvinfer1::DataType type) {
    if (type == nvinfer1::DataType::kINT64) return TimeType::INT64;
    return type == nvinfer1::DataType::kINT32 ? TimeType::INT32 : TimeType::FLOAT32;
  }

  // The narrowest profile with this batch: its kernels were chosen for the fewest sizes.
  int profile_of(std::int64_t batch) const {
    const auto& profiles = plan_.record.profiles;
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
  LoadedPlan plan_;
  TimeType time_type_ = TimeType::INT64;
};

}  // namespace

std::unique_ptr<DeviceEngine> open_tensorrt(const ModelSource& source, const cuda::Gpu& gpu) {
  return std::make_unique<TensorRtEngine>(source, gpu);
}

}  // namespace ddpm_rt
