// What the loop asks of an engine. TensorRT and ONNX Runtime's CUDA provider will stand behind the
// same two classes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "card.hpp"

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

// The engine that the file is for. Throws Failure.
std::unique_ptr<Engine> open_engine(const std::string& path, int threads);

// An ONNX file on the CPU; `threads` inside one operation, 0 for all cores. Throws Failure.
std::unique_ptr<Engine> open_ort(const std::string& path, int threads);

}  // namespace ddpm_rt
