// One batch on one stream: its memory, the network bound to it, and the launches of its steps.
// runtime/ddpm_rt/device/chain.py is its counterpart.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "cuda_gpu.hpp"
#include "cuda_graphs.hpp"
#include "cuda_kernels.hpp"
#include "cuda_layout.hpp"
#include "device_engine.hpp"
#include "edit.hpp"
#include "host_loop.hpp"
#include "steps_file.hpp"

namespace ddpm_rt::cuda {

inline constexpr std::size_t MARKS = 3;   // events in the stream that the host waits for later
inline constexpr std::size_t FRAMES = 2;  // copies of x0: the host reads one while one is written

// The GPU must be current when a chain is made, used and destroyed. The destructor waits for the
// queued work. All functions throw Failure.
class Chain {
 public:
  Chain(const Gpu& gpu, DeviceEngine& engine, const Kernels& kernels, const StepsFile& steps,
        const Layout& layout, ddpm_rt_mode mode);
  Chain(const Chain&) = delete;
  Chain& operator=(const Chain&) = delete;

  const Layout& layout() const { return layout_; }
  bool is_loop() const { return launcher_->is_loop(); }  // one launch runs all steps

  // Queues the noise x_T of these samples, or the start of an edit without a mask; there are as many
  // as lanes. The previous run has ended.
  void begin(const Samples& samples, const Conditions& conditions, const Edit* edit = nullptr);
  // Queues some of the steps that are left, and returns how many.
  std::size_t queue_steps(std::size_t left) { return launcher_->launch(left); }
  // Queues mark `number`, and a copy of x0 to frame(number) if layout() has frames. wait_mark()
  // returns when the GPU has reached the mark.
  void queue_mark(std::size_t number);
  void wait_mark(std::size_t number);
  bool has_reached(std::size_t number) const;
  const float* frame(std::size_t number) const { return frames_[number]->data(); }

  // Queues a copy of the images to images() on the host, or to memory of the caller: after the
  // event `after`, and before later work in `stream`.
  void queue_images();
  void queue_images_to(Address to, Event after, Stream stream);
  const float* images() const { return images_->data(); }

  // Of a loop that is running: the row that it has reached, and a request to end after that row.
  std::size_t row() const;
  void stop() const;

  // Waits for the images. Throws Failure if an output of the network was not finite.
  void wait();
  // Throws Failure if images() are not finite.
  void check_images() const;

 private:
  struct WaitAtEnd {  // other calls report a failure of the GPU
    const Driver& driver;
    Stream stream, aside;
    ~WaitAtEnd() {
      driver.synchronize(stream);
      if (aside != nullptr) driver.synchronize(aside);
    }
  };

  DeviceBuffers buffers() const;
  void copy_rows(const Edit* edit);
  void copy_start(const Edit& edit);
  void copy_labels(const std::vector<std::int64_t>& classes);
  void copy_inputs(const Conditions& conditions);
  void warm_up();
  void queue_lanes();
  void launch(Function kernel);
  void check(int result) const { driver_.check(result, "the GPU failed"); }
  Address allocated(std::size_t bytes) { return memory_.emplace(driver_, bytes).address(); }
  std::size_t image_bytes() const { return samples_.count * steps_.model.image() * sizeof(float); }

  const Driver& driver_;
  const Kernels& kernels_;
  const StepsFile& steps_;
  const Layout layout_;
  Owned<Stream> stream_, aside_;  // aside: of a loop, for what cannot wait behind it
  Owned<Event> done_;
  std::array<Owned<Event>, MARKS> marks_;
  std::optional<Memory> memory_;  // destroyed after the call; its size comes from the call
  std::unique_ptr<DeviceCall> call_;
  const Parts parts_;
  const Address begin_;  // of memory_
  KernelArguments arguments_;
  std::vector<ddpm_rt_row> rows_;  // as they are on the GPU
  PinnedMemory<ddpm_rt_lane> lanes_;
  std::optional<PinnedMemory<std::int64_t>> labels_;
  std::vector<std::unique_ptr<PinnedMemory<std::byte>>> inputs_;  // by the inputs of the model
  std::optional<PinnedMemory<float>> images_;
  std::array<std::optional<PinnedMemory<float>>, FRAMES> frames_;
  std::optional<Launcher> launcher_;
  Samples samples_ = {0, 0, 0};
  const WaitAtEnd wait_at_end_;  // the last member: destroyed first
};

}  // namespace ddpm_rt::cuda
