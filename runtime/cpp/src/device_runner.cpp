// The runner for plans: splits a request into batches, and runs each as a chain on the GPU.
#include <algorithm>
#include <functional>
#include <list>
#include <optional>
#include <utility>

#include "cuda_chain.hpp"
#include "cuda_throttle.hpp"
#include "error.hpp"
#include "request.hpp"
#include "runner.hpp"

namespace ddpm_rt {
namespace {

using namespace cuda;

constexpr std::size_t MAX_CACHED_CHAINS = 4;  // for the next batch of the same layout
constexpr int NOT_DEVICE_MEMORY = 0;

// Where the images of a batch go. `start` is the index of its first image in the request.
struct Target {
  std::function<void(Chain&, std::size_t start)> queue_copy;
  std::function<void(Chain&, std::size_t start, std::size_t count)> take;  // after the copy
  bool waits_for_last_batch;
};

// Objects on the GPU, in the order in which they are made.
struct GpuObjects {
  GpuObjects(const ModelSource& source, const Gpu& gpu)
      : kernels(gpu), engine(open_device_engine(source, gpu)) {}
  Kernels kernels;
  std::unique_ptr<DeviceEngine> engine;
  std::list<Chain> chains;  // most recently used first
};

class DeviceRunner final : public Runner {
 public:
  DeviceRunner(const ModelSource& source, const StepsFile& steps, int device)
      : steps_(steps), gpu_(device) {
    const CurrentGpu current(gpu_);
    objects_.emplace(source, gpu_);
  }

  ~DeviceRunner() override {
    try {
      const CurrentGpu current(gpu_);
      objects_.reset();
    } catch (const Failure&) {  // the GPU is lost, and its memory with it
    }
  }

  const Card& card() const override { return objects_->engine->card(); }
  bool whole_times() const override { return objects_->engine->time_type() != TimeType::FLOAT32; }
  FittedTables fitted_tables() const override { return objects_->engine->fitted_tables(); }

  void sample(const Request& request, float* images) override {
    const CurrentGpu current(gpu_);
    const std::size_t size = steps_.model.image();
    draw(request, {[](Chain& chain, std::size_t) { chain.queue_images(); },
                   [&](Chain& chain, std::size_t start, std::size_t count) {
                     chain.check_images();
                     std::copy_n(chain.images(), count * size, images + start * size);
                   },
                   true});
  }

  void sample_device(const Request& request, const DeviceTarget& target) override {
    const CurrentGpu current(gpu_);
    const auto stream = static_cast<Stream>(target.stream);
    check_target(target.images, stream);
    const Owned<Event> before = gpu_.event(NO_TIMING);
    gpu_.driver().check(gpu_.driver().record(before.get(), stream), "the stream is not usable");
    draw(request, {[&](Chain& chain, std::size_t start) {
                     float* const to = target.images + start * steps_.model.image();
                     chain.queue_images_to(reinterpret_cast<Address>(to), before.get(), stream);
                   },
                   [](Chain&, std::size_t, std::size_t) {}, false});
  }

  void finish() override {
    const CurrentGpu current(gpu_);
    finish_pending();
  }

 private:
  void draw(const Request& request, const Target& target) {
    const ddpm_rt_sample_options& options = request.options;
    std::optional<Edit> edit;
    if (request.is_edit()) edit.emplace(options, steps_, card());
    if (options.mask != nullptr)
      bad_argument("masks need the loop on the host; keep pixels with the ONNX file of this plan");
    finish_pending();
    const std::uint64_t wanted = std::min(options.batch, options.count);
    const std::uint64_t batch = layout(options, wanted).lanes;
    ProgressReporter progress(options, steps_, batch, edit ? edit->rows_run() : steps_.rows.size());
    for (std::uint64_t start = 0; start < options.count; start += batch) {
      const std::uint64_t count = std::min(batch, options.count - start);
      Chain& chain = chain_for(layout(options, count));
      try {
        const bool last = count == options.count - start;
        const bool waits = !last || target.waits_for_last_batch || progress.is_wanted();
        const Samples samples = {options.seed, options.first + start, count};
        const Edit* const from = edit ? &*edit : nullptr;
        chain.begin(samples, conditions_of(request, steps_.model, samples.first, count), from);
        run(chain, from == nullptr ? 0 : from->first_row(), samples, progress, start, target,
            waits);
      } catch (...) {  // the chain may be between two steps: it is not used again
        objects_->chains.pop_front();
        throw;
      }
    }
  }

  void run(Chain& chain, std::size_t first_row, const Samples& samples, ProgressReporter& progress,
           std::size_t start, const Target& target, bool waits) {
    Throttle throttle(chain, samples, progress, first_row);
    for (std::size_t row = first_row; row < steps_.rows.size(); ++row) {
      chain.queue_step();
      throttle.step_queued();
    }
    throttle.all_queued();
    target.queue_copy(chain, start);
    if (!waits) {
      pending_ = &chain;
      return;
    }
    throttle.wait();
    chain.wait();
    target.take(chain, start, samples.count);
  }

  Layout layout(const ddpm_rt_sample_options& options, std::size_t count) const {
    const bool guided = options.guidance != 1.0;
    const std::size_t images = objects_->engine->batch_for(guided ? 2 * count : count);
    const std::size_t lanes = std::min(guided ? images / 2 : images, count);
    if (lanes == 0)
      bad_argument("guidance needs a plan for at least two images; build it with --batch 2");
    return {lanes, images, guided, wants_x0(options)};
  }

  Chain& chain_for(const Layout& layout) {
    auto& chains = objects_->chains;
    const auto found = std::find_if(chains.begin(), chains.end(),
                                    [&](const Chain& chain) { return chain.layout() == layout; });
    if (found != chains.end()) {
      chains.splice(chains.begin(), chains, found);
    } else {
      if (chains.size() == MAX_CACHED_CHAINS) chains.pop_back();
      chains.emplace_front(gpu_, *objects_->engine, objects_->kernels, steps_, layout);
    }
    return chains.front();
  }

  // Waits for the last batch of the previous call, and throws Failure if it failed.
  void finish_pending() {
    if (Chain* const chain = std::exchange(pending_, nullptr)) chain->wait();
  }

  void check_target(const float* images, Stream stream) const {
    const Driver& driver = gpu_.driver();
    int capturing = 0, type = NOT_DEVICE_MEMORY;
    driver.check(driver.is_capturing(stream, &capturing), "the stream is not usable");
    if (capturing != 0)
      bad_argument("the stream is capturing a graph; sampling cannot be captured");
    const auto address = reinterpret_cast<Address>(images);
    if (driver.pointer_attribute(&type, MEMORY_TYPE, address) != SUCCESS ||
        type == NOT_DEVICE_MEMORY)
      bad_argument("device_images is not memory of the GPU; for host memory call ddpm_rt_sample");
  }

  const StepsFile& steps_;
  const Gpu gpu_;
  std::optional<GpuObjects> objects_;
  Chain* pending_ = nullptr;
};

}  // namespace

std::unique_ptr<Runner> open_device_runner(const ModelSource& source, const StepsFile& steps,
                                           int device) {
  return std::make_unique<DeviceRunner>(source, steps, device);
}

}  // namespace ddpm_rt
