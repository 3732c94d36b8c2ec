#include "cuda_kernels.hpp"

#include "error.hpp"

// A fat binary for several GPUs, in a file that the build makes.
extern "C" const unsigned char ddpm_rt_fatbin[];

namespace ddpm_rt::cuda {
namespace {

Owned<Module> loaded(const Gpu& gpu) {
  const Driver& driver = gpu.driver();
  Module module = nullptr;
  driver.check(driver.load_module(&module, ddpm_rt_fatbin),
               "this library has no kernels for " + gpu.name() + " of compute capability " +
                   std::to_string(gpu.major()) + "." + std::to_string(gpu.minor()) +
                   " and its driver; build it with that in DDPM_RT_CUDA_ARCHITECTURES");
  return {module, driver.unload_module};
}

}  // namespace

Kernels::Kernels(const Gpu& gpu, bool loop)
    : module_(loaded(gpu)),
      begin_(function(gpu, "ddpm_rt_begin")),
      resume_(function(gpu, "ddpm_rt_resume")),
      step_(function(gpu, "ddpm_rt_step")) {
  if (!loop) return;
  const Driver& driver = gpu.driver();
  if (driver.make_graph == nullptr)
    engine_failed(
        "mode while needs a driver of CUDA 12.4 or newer; update it, or choose another "
        "mode");
  int registers = 0;  // the kernel is loaded when they are asked for: a capture could not load it
  if (driver.function(&step_while_, module_.get(), "ddpm_rt_step_while") != SUCCESS)
    engine_failed(
        "mode while needs kernels of nvcc 12.4 or newer; build this library with one, or "
        "choose another mode");
  driver.check(driver.function_attribute(&registers, REGISTERS, step_while_), "the GPU failed");
}

Function Kernels::function(const Gpu& gpu, const char* name) const {
  Function found = nullptr;
  gpu.driver().check(
      gpu.driver().function(&found, module_.get(), name),
      std::string("the kernels in this library are damaged, one is missing: ") + name);
  return found;
}

}  // namespace ddpm_rt::cuda
