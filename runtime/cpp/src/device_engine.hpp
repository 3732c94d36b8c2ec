// What the loop on a GPU asks of a network: runtime/ddpm_rt/device/engine.py once more.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "card.hpp"
#include "cuda_gpu.hpp"

namespace ddpm_rt {

// Device addresses that never move while something is bound to them; 0 for what a model has not.
struct DeviceBuffers {
  cuda::Address x;        // float32 [batch, C, H, W]
  cuda::Address t;        // of the engine's time type, [batch] or one number
  cuda::Address y;        // int64 [batch]
  cuda::Address out;      // float32 [batch, output channels, H, W]
  cuda::Address scratch;  // as much as the call said, aligned to 256 bytes
};

// Of t, by the numbers that kernels.cu gives them.
enum class TimeType : std::uint32_t { INT64 = 0, INT32 = 1, FLOAT32 = 2 };

// The network at one batch. bind() comes first, once.
class DeviceCall {
 public:
  virtual ~DeviceCall() = default;
  virtual std::size_t scratch_bytes() const = 0;
  virtual void bind(const DeviceBuffers& buffers) = 0;
  // One call of the network, without waiting for it. The first may allocate: it is made, and waited
  // for, before one is captured. Throws Failure if it is not taken.
  virtual void enqueue(cuda::Stream stream) = 0;
};

class DeviceEngine {
 public:
  virtual ~DeviceEngine() = default;
  virtual const Card& card() const = 0;
  virtual TimeType time_type() const = 0;
  virtual bool one_time() const = 0;    // t is one number for all images
  virtual bool capturable() const = 0;  // whether enqueue may be captured into a graph
  // The batch to run `count` images with: larger (the loop fills up), or smaller (it runs several).
  virtual std::size_t batch_for(std::size_t count) const = 0;
  // A call of this many images, set up on this stream. Throws Failure.
  virtual std::unique_ptr<DeviceCall> prepare(std::size_t batch, cuda::Stream stream) = 0;
};

// The engine that a plan is for, on this GPU, which is current. Throws Failure.
std::unique_ptr<DeviceEngine> open_device_engine(const std::string& path, const cuda::Gpu& gpu);

}  // namespace ddpm_rt
