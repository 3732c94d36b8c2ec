#include "runner.hpp"

#include <string>

#include "error.hpp"
#include "file.hpp"

namespace ddpm_rt {
namespace {

// A plan has a suffix of its own, or begins like TensorRT's files.
bool is_plan(const ModelSource& source) {
  if (!source.in_memory && (source.name.ends_with(".plan") || source.name.ends_with(".engine")))
    return true;
  const std::string begin = source.in_memory ? std::string(source.model.substr(0, PLAN_MAGIC_BYTES))
                                             : read_beginning(source.name, PLAN_MAGIC_BYTES);
  return begins_as_plan(begin);
}

void check_plan_options(const ModelSource& source, const ddpm_rt_open_options& options) {
  if (options.provider == DDPM_RT_CPU || options.provider == DDPM_RT_CUDA)
    bad_argument(source.name + " is a TensorRT plan; provider " +
                 ddpm_rt_provider_name(options.provider) +
                 " cannot run it; open the ONNX file that it was built from");
  if (source.in_memory && source.record.empty())  // said before the GPU is opened
    bad_file(source.name + " is a TensorRT plan, which needs its record; pass the JSON as well");
}

void check_onnx_options(const ModelSource& source, const ddpm_rt_open_options& options) {
  if (options.provider == DDPM_RT_TENSORRT)
    bad_argument(source.name +
                 " is not a TensorRT plan; build one with `ddpm-rt build`, or choose another "
                 "provider");
  if (options.provider == DDPM_RT_CPU && options.device != 0)
    bad_argument("the CPU has no device " + std::to_string(options.device) + "; leave it out");
  if (options.streams != 1 || options.mode != DDPM_RT_REPLAY)
    bad_argument(source.name +
                 " is not a TensorRT plan; mode and streams are for the loop on a GPU, leave them "
                 "out");
}

}  // namespace

void Runner::sample_device(const Request&, const DeviceTarget&) {
  bad_argument(
      "this sampler draws into host memory; only a TensorRT plan draws into device memory");
}

std::unique_ptr<Runner> open_runner(const ModelSource& source, const StepsFile& steps,
                                    const ddpm_rt_open_options& options) {
  if (!is_plan(source)) {
    check_onnx_options(source, options);
    return open_host_runner(source, steps, options);
  }
  check_plan_options(source, options);
#ifdef DDPM_RT_HAS_CUDA
  return open_device_runner(source, steps, options);
#else
  engine_failed(source.name +
                " is a TensorRT plan, and this library was built without TensorRT; build it with "
                "DDPM_RT_CUDA and DDPM_RT_TENSORRT, or open the ONNX file");
#endif
}

}  // namespace ddpm_rt
