// The engine that the loop on the host calls. device_engine.hpp is the one of the loop on a GPU.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "card.hpp"
#include "ddpm_rt.h"
#include "fitted_tables.hpp"
#include "model_source.hpp"

namespace ddpm_rt {

// Buffers of one call in host memory. The caller owns them and keeps them as long as the call.
struct Buffers {
  std::size_t batch;
  const float* x;         // [batch, C, ...]
  const double* t;        // [batch], all equal; whole numbers if whole_times() of the engine
  const std::int64_t* y;  // [batch]; NULL for an unconditional model
  float* out;             // [batch, output channels, ...]
  std::vector<const std::byte*> inputs = {};  // [batch, ...] each, by the inputs of the model
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
  virtual bool whole_times() const = 0;  // whether the network takes t as an integer
  virtual FittedTables fitted_tables() const { return {}; }  // in the model's file
  virtual std::unique_ptr<Call> bind(const Buffers& buffers) = 0;
};

// The engine for an ONNX model. Throws Failure.
std::unique_ptr<Engine> open_engine(const ModelSource& source, const ddpm_rt_open_options& options);

}  // namespace ddpm_rt
