// What the loop on the host asks of an engine. device_engine.hpp is the same for the loop on a GPU.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "card.hpp"
#include "ddpm_rt.h"

namespace ddpm_rt {

// Buffers of one call, in host memory, the caller's as long as the call lives.
struct Buffers {
  std::size_t batch;
  const float* x;         // [batch, C, H, W]
  const std::int64_t* t;  // [batch], all the same
  const std::int64_t* y;  // [batch]; NULL unless class-conditional
  float* out;             // [batch, output channels, H, W]
};

// The network bound to its buffers: run() reads and writes them, as often as one likes, and
// allocates nothing of ours.
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

// The engine that an ONNX file is for. Throws Failure.
std::unique_ptr<Engine> open_engine(const std::string& path, const ddpm_rt_open_options& options);

// ONNX Runtime's, by its CPU provider with `threads` inside one operation, 0 for all cores, or by
// its CUDA provider on GPU number `device`. Throws Failure.
std::unique_ptr<Engine> open_ort(const std::string& path, const ddpm_rt_open_options& options);

}  // namespace ddpm_rt
