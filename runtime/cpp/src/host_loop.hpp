// The reverse loop on the host. It does the operations of runtime/ddpm_rt/host_loop.py, in the same
// order and with the same rounding.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine.hpp"
#include "given_inputs.hpp"
#include "samples.hpp"
#include "steps_file.hpp"

namespace ddpm_rt {

// What the samples of a batch are conditioned on.
struct Conditions {
  std::vector<std::int64_t> classes = {};  // empty for an unconditional model
  float guidance = 1.0F;
  // With guidance, the null inputs stand for no condition. Of an input without a null value, both
  // halves of the batch take the same.
  InputBytes inputs = {}, null_inputs = {};
};

class Edit;

// One batch: its buffers, and the engine bound to them. Only the constructor allocates memory.
class HostLoop {
 public:
  HostLoop(Engine& engine, const StepsFile& steps, const Samples& samples,
           const Conditions& conditions);

  // Draws x_T, and starts at the first row. An edit starts elsewhere and is kept until the end.
  void start(Edit* edit = nullptr);
  // Runs the next row, with an edit once or several times. Throws Failure if the network's output, or after the last row an image, is
  // not finite.
  void step();

  std::size_t row() const { return row_; }                   // that step() runs next
  double engine_seconds() const { return engine_seconds_; }  // of the latest step
  // The images are the first `count` of these.
  const std::vector<float>& x() const { return x_; }
  // The estimate of the images at the latest step.
  const std::vector<float>& x0() const { return x0_; }

 private:
  void take_inputs(const Conditions& conditions, std::size_t batch);
  std::vector<const std::byte*> input_buffers() const;
  void run_row(std::uint32_t noise_step);
  Row row_numbers() const;
  void call_network();
  void apply_guidance();
  void check_output() const;
  void update(std::size_t sample);
  void add_noise(std::size_t sample, std::uint32_t noise_step);

  const StepsFile& steps_;
  const Samples samples_;
  const float guidance_;
  Edit* edit_ = nullptr;
  std::size_t row_ = 0;
  double engine_seconds_ = 0;
  std::vector<float> x_, x0_, prev_x0_, out_;
  std::vector<float> given_x0_;  // of the step before, [batch, C, ...], for the network
  std::vector<double> t_;
  std::vector<std::int64_t> y_;
  InputBytes inputs_;
  std::unique_ptr<Call> call_;
};

}  // namespace ddpm_rt
