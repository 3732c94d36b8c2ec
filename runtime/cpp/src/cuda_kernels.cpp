#include "cuda_kernels.hpp"

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

Kernels::Kernels(const Gpu& gpu)
    : module_(loaded(gpu)),
      begin_(function(gpu, "ddpm_rt_begin")),
      resume_(function(gpu, "ddpm_rt_resume")),
      step_(function(gpu, "ddpm_rt_step")) {}

Function Kernels::function(const Gpu& gpu, const char* name) const {
  Function found = nullptr;
  gpu.driver().check(
      gpu.driver().function(&found, module_.get(), name),
      std::string("the kernels in this library are damaged, one is missing: ") + name);
  return found;
}

}  // namespace ddpm_rt::cuda
