// The engine that the loop on the host calls. device_engine.hpp is the one of the loop on a GPU.
#pragma once

#include <cstdint>
#include <memory>

#include "card.hpp"
#include "ddpm_rt.h"
#include "model_source.hpp"

namespace ddpm_rt {

// Buffers of one call in host memory. The caller owns them and keeps them as long as the call.
struct Buffers {
  std::size_t batch;
  const float* x;         // [batch, C, H, W]
  const std::int64_t* t;  // [batch], all equal
  const std::int64_t* y;  // [batch]; NULL for an unconditional model
  float* out;             // [batch, output channels, H, W]
};

// The network, bound to its buffers. run() may be called many times, and allocates no memory in
// this library.
class Call {
 public:
  virtual ~Call() = default;
  virtual void run() = 0;
};

class Engine {
 public:
  virtual ~Engine() = default;
  virtual const Card& card() const = 0;
  virtual std::unique_ptr<Call> bind(const Buffers& buffers) = 0;
};

// The engine for an ONNX model. Throws Failure.
std::unique_ptr<Engine> open_engine(const ModelSource& source, const ddpm_rt_open_options& options);

}  // namespace ddpm_rt
