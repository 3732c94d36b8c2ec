// The engine that the loop on a GPU calls. runtime/ddpm_rt/device/device_engine.py is its
// counterpart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "card.hpp"
#include "cuda_gpu.hpp"
#include "fitted_tables.hpp"
#include "model_source.hpp"

namespace ddpm_rt {

// Device addresses. They do not change while a call is bound to them. 0: the model has none.
struct DeviceBuffers {
  cuda::Address x;                    // float32 [batch, C, ...]
  cuda::Address t;                    // of the time type of the engine, [batch] or one number
  cuda::Address y;                    // int64 [batch]
  cuda::Address out;                  // float32 [batch, output channels, ...]
  cuda::Address scratch;              // scratch_bytes() of the call, aligned to 256 bytes
  std::vector<cuda::Address> inputs;  // [batch, ...] each, by the inputs of the model
};

// The type of t, with the numbers of kernels.cu.
enum class TimeType : std::uint32_t { INT64 = 0, INT32 = 1, FLOAT32 = 2 };

// The network for one batch size. bind() must be called once, before the first enqueue().
class DeviceCall {
 public:
  virtual ~DeviceCall() = default;
  virtual std::size_t scratch_bytes() const = 0;
  virtual void bind(const DeviceBuffers& buffers) = 0;
  // Queues one call of the network. The first call may allocate, so it must finish before a call is
  // captured. Throws Failure.
  virtual void enqueue(cuda::Stream stream) = 0;
};

class DeviceEngine {
 public:
  virtual ~DeviceEngine() = default;
  virtual const Card& card() const = 0;
  virtual FittedTables fitted_tables() const { return {}; }  // in the model's record
  virtual TimeType time_type() const = 0;
  virtual bool one_time() const = 0;    // t is one number for all images
  virtual bool capturable() const = 0;  // whether enqueue may be captured into a graph
  // The batch size for `count` images. If it is larger, the loop pads; if smaller, it runs several.
  virtual std::size_t batch_for(std::size_t count) const = 0;
  // A call for a batch of this size, set up on this stream. Throws Failure.
  virtual std::unique_ptr<DeviceCall> prepare(std::size_t batch, cuda::Stream stream) = 0;
};

// The engine for a plan on this GPU, which must be current. Throws Failure.
std::unique_ptr<DeviceEngine> open_device_engine(const ModelSource& source, const cuda::Gpu& gpu);

}  // namespace ddpm_rt
