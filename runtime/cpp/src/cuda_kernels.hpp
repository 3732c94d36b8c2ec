// The kernels of ddpm_rt/kernels.cu, compiled with the library and loaded on a GPU.
#pragma once

#include "cuda_gpu.hpp"

namespace ddpm_rt::cuda {

inline constexpr unsigned THREADS = 256;  // per block; each handles four elements of one image

class Kernels {
 public:
  // Throws Failure if the library has no code for this GPU and driver.
  explicit Kernels(const Gpu& gpu);

  Function begin() const { return begin_; }
  Function resume() const { return resume_; }  // begins with an x of the host
  Function step() const { return step_; }

 private:
  Function function(const Gpu& gpu, const char* name) const;

  Owned<Module> module_;
  Function begin_, resume_, step_;
};

}  // namespace ddpm_rt::cuda
