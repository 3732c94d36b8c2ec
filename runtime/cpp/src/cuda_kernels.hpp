// The kernels of ddpm_rt/kernels.cu, compiled with the library and loaded on a GPU.
#pragma once

#include "cuda_gpu.hpp"

namespace ddpm_rt::cuda {

inline constexpr unsigned THREADS = 256;  // per block; each handles four elements of one image

class Kernels {
 public:
  // Throws Failure if the library has no code for this GPU and driver. `loop` is mode
  // DDPM_RT_WHILE, which not every driver and not every nvcc allows.
  Kernels(const Gpu& gpu, bool loop);

  Function begin() const { return begin_; }
  Function resume() const { return resume_; }  // begins with an x of the host
  Function step() const { return step_; }
  Function step_while() const { return step_while_; }  // NULL without `loop`

 private:
  Function function(const Gpu& gpu, const char* name) const;

  Owned<Module> module_;
  Function begin_, resume_, step_, step_while_ = nullptr;
};

}  // namespace ddpm_rt::cuda
