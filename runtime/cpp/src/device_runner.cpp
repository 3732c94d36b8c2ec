// The runner for plans: splits a request into batches, and runs each as a chain on the GPU, on one
// or several streams. runtime/ddpm_rt/device/loop.py is its counterpart.
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

// For the next batch of the same layout; each further stream adds one.
constexpr std::size_t MAX_CACHED_CHAINS = 4;
constexpr int NOT_DEVICE_MEMORY = 0;

// Where the images of a batch go. `start` is the index of its first image in the request.
struct Target {
  std::function<void(Chain&, std::size_t start)> queue_copy;
  std::function<void(Chain&, std::size_t start, std::size_t count)> take;  // after the copy
  bool waits_for_last_batch;
};

// Objects on the GPU, in the order in which they are made.
struct GpuObjects {
  GpuObjects(const ModelSource& source, const Gpu& gpu, ddpm_rt_mode mode)
      : kernels(gpu, mode == DDPM_RT_WHILE), engine(open_device_engine(source, gpu)) {}
  Kernels kernels;
  std::unique_ptr<DeviceEngine> engine;
  std::list<Chain> idle;  // most recently used first
};

// A batch in flight. A run that is destroyed before its end stops its chain and frees it.
class Run {
 public:
  // `chain` holds one chain, which has begun. `start` is the index of the first image.
  Run(std::list<Chain> chain, const Samples& samples, std::size_t start, std::size_t first_row,
      std::size_t end, ProgressReporter& progress)
      : chain_(std::move(chain)),
        samples_(samples),
        start_(start),
        end_(end),
        row_(first_row),
        throttle_(chain_.front(), samples_, progress, first_row) {}

  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;
  ~Run() {
    for (const Chain& chain : chain_) chain.stop();
  }

  bool is_queued() const { return is_queued_; }

  // Queues the steps up to the next mark of the throttle, so that other batches get their turn, and
  // the copy of the images after the last step.
  void queue(const Target& target) {
    while (row_ < end_) {
      const std::size_t steps = chain_.front().queue_steps(end_ - row_);
      row_ += steps;
      if (throttle_.queued(steps)) return;
    }
    if (is_queued_) return;
    throttle_.all_queued();
    target.queue_copy(chain_.front(), start_);
    is_queued_ = true;
  }

  // Waits for the images and takes them.
  void finish(const Target& target) {
    throttle_.wait();
    chain_.front().wait();
    target.take(chain_.front(), start_, samples_.count);
  }

  // Moves the chain to the front of the idle ones.
  Chain& release(std::list<Chain>& idle) {
    idle.splice(idle.begin(), chain_);
    return idle.front();
  }

 private:
  std::list<Chain> chain_;
  const Samples samples_;
  const std::size_t start_, end_;
  std::size_t row_;
  bool is_queued_ = false;  // the copy as well
  Throttle throttle_;
};

class DeviceRunner final : public Runner {
 public:
  DeviceRunner(const ModelSource& source, const StepsFile& steps,
               const ddpm_rt_open_options& options)
      : steps_(steps),
        mode_(options.mode),
        streams_(static_cast<std::size_t>(options.streams)),
        gpu_(options.device) {
    const CurrentGpu current(gpu_);
    objects_.emplace(source, gpu_, mode_);
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
    const Edit* const from = edit ? &*edit : nullptr;
    std::list<Run> running;  // the oldest first
    for (std::uint64_t start = 0; start < options.count || !running.empty();) {
      while (start < options.count && running.size() < streams_) {
        const std::uint64_t count = std::min(batch, options.count - start);
        const Samples samples = {options.seed, options.first + start, count};
        auto chain = chain_for(layout(options, count), running.size());
        chain.front().begin(samples, conditions_of(request, steps_.model, samples.first, count),
                            from);
        running.emplace_back(std::move(chain), samples, start,
                             from == nullptr ? 0 : from->first_row(), steps_.rows.size(), progress);
        start += count;
      }
      for (Run& run : running) run.queue(target);
      Run& oldest = running.front();
      if (!oldest.is_queued()) continue;
      const bool last = start == options.count && running.size() == 1;
      const bool waits = !last || target.waits_for_last_batch || progress.is_wanted();
      if (waits) oldest.finish(target);
      Chain& chain = oldest.release(objects_->idle);
      if (!waits) pending_ = &chain;
      running.pop_front();
    }
  }

  Layout layout(const ddpm_rt_sample_options& options, std::size_t count) const {
    const bool guided = options.guidance != 1.0;
    const std::size_t images = objects_->engine->batch_for(guided ? 2 * count : count);
    const std::size_t lanes = std::min(guided ? images / 2 : images, count);
    if (lanes == 0)
      bad_argument("guidance needs a plan for at least two images; build it with --batch 2");
    return {lanes, images, guided, wants_x0(options)};
  }

  // Within a graph of several steps, x0 cannot be copied to the host.
  ddpm_rt_mode mode_of(const Layout& layout) const {
    if (!objects_->engine->capturable()) return DDPM_RT_STREAM;
    return layout.frames && mode_ != DDPM_RT_STREAM ? DDPM_RT_REPLAY : mode_;
  }

  // A list of one chain of this layout: an idle one, or a new one.
  std::list<Chain> chain_for(const Layout& layout, std::size_t running) {
    auto& idle = objects_->idle;
    std::list<Chain> found;
    const auto same = std::find_if(idle.begin(), idle.end(),
                                   [&](const Chain& chain) { return chain.layout() == layout; });
    if (same != idle.end()) {
      found.splice(found.begin(), idle, same);
      return found;
    }
    if (idle.size() + running == MAX_CACHED_CHAINS + streams_ - 1) idle.pop_back();
    found.emplace_front(gpu_, *objects_->engine, objects_->kernels, steps_, layout,
                        mode_of(layout));
    return found;
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
  const ddpm_rt_mode mode_;
  const std::size_t streams_;
  const Gpu gpu_;
  std::optional<GpuObjects> objects_;
  Chain* pending_ = nullptr;
};

}  // namespace

std::unique_ptr<Runner> open_device_runner(const ModelSource& source, const StepsFile& steps,
                                           const ddpm_rt_open_options& options) {
  return std::make_unique<DeviceRunner>(source, steps, options);
}

}  // namespace ddpm_rt
