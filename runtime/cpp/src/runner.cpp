#include "runner.hpp"

#include <fstream>

#include "error.hpp"

namespace ddpm_rt {
namespace {

// By its suffix, or by how TensorRT's files begin: ftrt, and vtrt of TensorRT-RTX.
bool is_plan(const std::string& path) {
  if (path.ends_with(".plan") || path.ends_with(".engine")) return true;
  char begin[4] = {};
  std::ifstream(path, std::ios::binary).read(begin, sizeof begin);
  return std::string(begin + 1, 3) == "trt";
}

void check_plan_options(const std::string& path, const ddpm_rt_open_options& options) {
  if (options.provider == DDPM_RT_CPU || options.provider == DDPM_RT_CUDA)
    bad_argument(path + " is a plan, which only the provider TensorRT runs");
}

}  // namespace

void Runner::sample_device(const ddpm_rt_sample_options&, const DeviceTarget&) {
  bad_argument("this engine draws into host memory; for device memory open a TensorRT plan");
}

std::unique_ptr<Runner> open_runner(const std::string& path, const Steps& steps,
                                    const ddpm_rt_open_options& options) {
  if (!is_plan(path)) {
    if (options.provider == DDPM_RT_TENSORRT)
      bad_argument(path + " is no plan; make one with `ddpm-rt build`, or choose another provider");
    if (options.provider != DDPM_RT_CUDA && options.device != 0)
      bad_argument("the CPU has no device " + std::to_string(options.device) + "; leave it out");
    return open_host_runner(path, steps, options);
  }
  check_plan_options(path, options);
#ifdef DDPM_RT_HAS_CUDA
  return open_device_runner(path, steps, options.device);
#else
  throw Failure(DDPM_RT_ENGINE_FAILED,
                path +
                    ": this library was built without a GPU's side; build it with DDPM_RT_CUDA "
                    "and DDPM_RT_TENSORRT, or name the .onnx");
#endif
}

}  // namespace ddpm_rt
