// One batch on one stream: its memory, the network bound to it, and the steps as a graph of one
// step that is launched again and again. runtime/ddpm_rt/device/chain.py once more.
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "cuda_gpu.hpp"
#include "cuda_kernels.hpp"
#include "cuda_layout.hpp"
#include "device_engine.hpp"
#include "loop.hpp"
#include "steps.hpp"

namespace ddpm_rt::cuda {

inline constexpr std::size_t MARKS = 3;  // that are waited for later
inline constexpr std::size_t FRAMES =
    2;  // on their way: one is looked at while the other is filled

// Its GPU is current whenever it is used, made and destroyed, which waits for what is queued. All
// of it throws Failure.
class Chain {
 public:
  Chain(const Gpu& gpu, DeviceEngine& engine, const Kernels& kernels, const Steps& steps,
        const Layout& layout);
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  const Layout& layout() const { return layout_; }
  bool is_graph() const { return graph_ != nullptr; }

  // x_T of these samples, as many as there are lanes. The run before is over.
  void begin(const Samples& samples, const Labels& labels);
  void queue_step();
  // Where the GPU is: at mark `number`, with x0 of that moment copied to frame(number) if layout()
  // has frames.
  void queue_mark(std::size_t number);
  void wait_mark(std::size_t number);
  const float* frame(std::size_t number) const { return frames_[number]->data(); }

  // The images, to the host's images() or to memory of the caller's in the order of his stream: not
  // before `after`, and his stream goes on afterwards.
  void queue_images();
  void queue_images_to(Address to, Event after, Stream stream);
  const float* images() const { return images_->data(); }

  // Waits for the images, and throws Failure if an output was not finite, naming the step.
  void wait();

 private:
  struct Idle {
    const Driver& driver;
    Stream stream;
    ~Idle() { driver.synchronize(stream); }  // a GPU that failed says so at every other call
  };

  DeviceBuffers buffers() const;
  void warm_up();
  void capture();
  void queue_verdict();
  void launch(Function kernel);
  void check(int result) const { driver_.check(result, "the GPU failed"); }
  Address allocated(std::size_t bytes) { return memory_.emplace(driver_, bytes).address(); }
  std::size_t image_bytes() const { return samples_.count * steps_.model.image() * sizeof(float); }

  const Driver& driver_;
  const Kernels& kernels_;
  const Steps& steps_;
  const Layout layout_;
  Owned<Stream> stream_;
  Owned<Event> done_;
  std::array<Owned<Event>, MARKS> marks_;
  std::optional<Memory> memory_;  // outlives the call, but is as large as the call says
  std::unique_ptr<DeviceCall> call_;
  const Parts parts_;
  const Address begin_;  // of the memory
  Arguments arguments_;
  Pinned<ddpm_rt_lane> lanes_;
  std::optional<Pinned<std::int64_t>> labels_;
  std::optional<Pinned<float>> images_;
  std::array<std::optional<Pinned<float>>, FRAMES> frames_;
  Owned<GraphExec> graph_;
  Samples samples_ = {0, 0, 0};
  const Idle idle_;  // the first to go
};

}  // namespace ddpm_rt::cuda
