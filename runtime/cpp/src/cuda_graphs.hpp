// Steps as CUDA graphs: captured once, launched once per step. runtime/ddpm_rt/device/graphs.py is
// its counterpart.
#pragma once

#include <cstdint>
#include <functional>

#include "cuda_gpu.hpp"
#include "cuda_kernels.hpp"
#include "ddpm_rt.h"

namespace ddpm_rt::cuda {

inline constexpr std::size_t CHUNK = 16;  // steps of a graph in mode DDPM_RT_CHUNKS

// Launches steps in a stream.
class Launcher {
 public:
  // Queues the network and this kernel. It has run once: a capture can neither load kernels nor
  // allocate.
  using Step = std::function<void(Function kernel)>;

  // In mode DDPM_RT_WHILE, `condition` receives the handle that the step kernel takes. If the network
  // cannot be captured, this mode throws Failure, and the others launch every step by itself.
  Launcher(const Gpu& gpu, const Kernels& kernels, Stream stream, ddpm_rt_mode mode,
           std::uint64_t& condition, Step step);

  // Whether one launch runs all steps.
  bool is_loop() const { return is_loop_; }
  // Queues some of the steps that are left, and returns how many.
  std::size_t launch(std::size_t left);

 private:
  void capture_loop(std::uint64_t& condition);
  bool capture(Graph* graph, std::size_t steps, Function kernel);
  Owned<GraphExec> graph_of(std::size_t steps);
  Owned<GraphExec> ready(Graph graph);
  void check(int result) const { driver_.check(result, "the GPU failed"); }

  const Driver& driver_;
  const Kernels& kernels_;
  const Stream stream_;
  const bool is_loop_;
  const Step step_;
  Owned<GraphExec> one_, many_;  // of one step, and of several
};

}  // namespace ddpm_rt::cuda
