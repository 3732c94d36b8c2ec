// The loop on a GPU: requests, batch by batch.
#include <algorithm>
#include <functional>
#include <list>
#include <optional>
#include <utility>

#include "cuda_chain.hpp"
#include "cuda_lead.hpp"
#include "error.hpp"
#include "request.hpp"
#include "runner.hpp"

namespace ddpm_rt {
namespace {

using namespace cuda;

constexpr std::size_t KEPT = 4;         // chains that stay, warm, for the next batch like theirs
constexpr std::uint64_t MOST = 0xFFFF;  // samples of a chain: blocks of a grid in that direction
constexpr int NO_MEMORY_OF_THE_DEVICE = 0;

// Where the images of a batch go, whose first is number `start` of the request.
struct Target {
  std::function<void(Chain&, std::size_t start)> queue;                    // after the steps
  std::function<void(Chain&, std::size_t start, std::size_t count)> take;  // when they are done
  bool waits;                                                              // for the last batch too
};

// What is made on the GPU, in the order in which it is made.
struct OnGpu {
  OnGpu(const std::string& path, const Gpu& gpu)
      : kernels(gpu), engine(open_device_engine(path, gpu)) {}
  Kernels kernels;
  std::unique_ptr<DeviceEngine> engine;
  std::list<Chain> chains;  // the one used last comes first
};

class DeviceRunner final : public Runner {
 public:
  DeviceRunner(const std::string& path, const Steps& steps, int device)
      : steps_(steps), gpu_(device) {
    const Current current(gpu_);
    on_gpu_.emplace(path, gpu_);
  }

  ~DeviceRunner() override {
    try {
      const Current current(gpu_);
      on_gpu_.reset();
    } catch (const Failure&) {  // a GPU that is lost has nothing to give back
    }
  }

  const Card& card() const override { return on_gpu_->engine->card(); }

  void sample(const ddpm_rt_sample_options& options, float* images) override {
    const Current current(gpu_);
    const std::size_t size = steps_.model.image();
    draw(options, {[](Chain& chain, std::size_t) { chain.queue_images(); },
                   [&](Chain& chain, std::size_t start, std::size_t count) {
                     std::copy_n(chain.images(), count * size, images + start * size);
                   },
                   true});
  }

  void sample_device(const ddpm_rt_sample_options& options, const DeviceTarget& target) override {
    const Current current(gpu_);
    const auto stream = static_cast<Stream>(target.stream);
    check_target(target.images, stream);
    const Owned<Event> before = gpu_.event(NO_TIMING);
    gpu_.driver().check(gpu_.driver().record(before.get(), stream), "the stream cannot be used");
    draw(options, {[&](Chain& chain, std::size_t start) {
                     float* const to = target.images + start * steps_.model.image();
                     chain.queue_images_to(reinterpret_cast<Address>(to), before.get(), stream);
                   },
                   [](Chain&, std::size_t, std::size_t) {}, false});
  }

  void finish() override {
    const Current current(gpu_);
    settle();
  }

 private:
  void draw(const ddpm_rt_sample_options& options, const Target& target) {
    settle();
    const std::uint64_t wanted = std::min({options.batch, options.count, MOST});
    const std::uint64_t batch = layout(options, wanted).lanes;
    Watch watch(options, steps_, batch);
    for (std::uint64_t start = 0; start < options.count; start += batch) {
      const std::uint64_t count = std::min(batch, options.count - start);
      Chain& chain = chain_for(layout(options, count));
      try {
        const bool waits = target.waits || watch.is_heard() || count < options.count - start;
        run(chain, options, {options.seed, options.first + start, count}, watch, start, target,
            waits);
      } catch (...) {  // what breaks off leaves no chain that is half way
        on_gpu_->chains.pop_front();
        throw;
      }
    }
  }

  void run(Chain& chain, const ddpm_rt_sample_options& options, const Samples& samples,
           Watch& watch, std::size_t start, const Target& target, bool waits) {
    chain.begin(samples, labels_of(options, samples.first, samples.count));
    Lead lead(chain, samples, watch);
    for (std::size_t row = 0; row < steps_.rows.size(); ++row) {
      chain.queue_step();
      lead.queued();
    }
    lead.end();
    target.queue(chain, start);
    if (!waits) {
      pending_ = &chain;
      return;
    }
    lead.finish();
    chain.wait();
    target.take(chain, start, samples.count);
  }

  Layout layout(const ddpm_rt_sample_options& options, std::size_t count) const {
    const bool guided = options.guidance != 1.0;
    const std::size_t images = on_gpu_->engine->batch_for(guided ? 2 * count : count);
    const std::size_t lanes = std::min(guided ? images / 2 : images, count);
    if (lanes == 0)
      bad_argument("guidance needs a plan that takes two images at least; build it with --batch 2");
    return {lanes, images, guided, wants_x0(options)};
  }

  Chain& chain_for(const Layout& layout) {
    auto& chains = on_gpu_->chains;
    const auto found = std::find_if(chains.begin(), chains.end(),
                                    [&](const Chain& chain) { return chain.layout() == layout; });
    if (found != chains.end()) {
      chains.splice(chains.begin(), chains, found);
    } else {
      if (chains.size() == KEPT) chains.pop_back();
      chains.emplace_front(gpu_, *on_gpu_->engine, on_gpu_->kernels, steps_, layout);
    }
    return chains.front();
  }

  // Waits for the last batch of the call before, whose verdict nobody has asked for.
  void settle() {
    if (Chain* const chain = std::exchange(pending_, nullptr)) chain->wait();
  }

  void check_target(const float* images, Stream stream) const {
    const Driver& driver = gpu_.driver();
    int capturing = 0, type = NO_MEMORY_OF_THE_DEVICE;
    driver.check(driver.is_capturing(stream, &capturing), "the stream cannot be used");
    if (capturing != 0)
      bad_argument("the stream is capturing a graph, which sampling cannot be in");
    const auto address = reinterpret_cast<Address>(images);
    if (driver.pointer_attribute(&type, MEMORY_TYPE, address) != SUCCESS ||
        type == NO_MEMORY_OF_THE_DEVICE)
      bad_argument("device_images is no memory that the GPU knows; for others call ddpm_rt_sample");
  }

  const Steps& steps_;
  const Gpu gpu_;
  std::optional<OnGpu> on_gpu_;
  Chain* pending_ = nullptr;
};

}  // namespace

std::unique_ptr<Runner> open_device_runner(const std::string& path, const Steps& steps,
                                           int device) {
  return std::make_unique<DeviceRunner>(path, steps, device);
}

}  // namespace ddpm_rt
