// The reverse loop on the host: runtime/ddpm_rt/sampler.py once more, each operation rounded as
// often and in its order.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine.hpp"
#include "steps.hpp"

namespace ddpm_rt {

// Which samples, and of what.
struct Samples {
  std::uint64_t seed, first;
  std::size_t count;
};

// Classes of the samples of a batch; empty where the model is unconditional.
struct Labels {
  std::vector<std::int64_t> of_samples;
  float guidance = 1.0F;
};

// One batch: its buffers and the engine bound to them. Nothing is allocated after the constructor.
class Loop {
 public:
  Loop(Engine& engine, const Steps& steps, const Samples& samples, const Labels& labels);

  // x_T; the first row comes next.
  void start();
  // The next row. Throws Failure when the network's output is not finite.
  void step();

  std::size_t row() const { return row_; }                   // that step() runs next
  double engine_seconds() const { return engine_seconds_; }  // in the latest step
  const std::vector<float>& x() const { return x_; }         // the images are its first count
  const std::vector<float>& x0() const {
    return x0_;
  }  // where the latest step thinks they are going

 private:
  void ask();
  void guide();
  void check_finite() const;
  void update(std::size_t sample);
  void add_noise(std::size_t sample);

  const Steps& steps_;
  const Samples samples_;
  const float guidance_;
  std::size_t row_ = 0;
  double engine_seconds_ = 0;
  std::vector<float> x_, x0_, prev_x0_, out_;
  std::vector<std::int64_t> t_, y_;
  std::unique_ptr<Call> call_;
};

// Standard normals of one step of one sample.
void normals(std::uint64_t seed, std::uint64_t sample, std::uint32_t step, std::size_t size,
             float* out);

// Whether the compiler left the noise as it is defined.
bool noise_is_exact();

}  // namespace ddpm_rt
