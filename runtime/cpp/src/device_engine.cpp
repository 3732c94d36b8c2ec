#include "device_engine.hpp"

#include "error.hpp"
#ifdef DDPM_RT_HAS_TENSORRT
#include "tensorrt.hpp"
#endif

namespace ddpm_rt {

std::unique_ptr<DeviceEngine> open_device_engine(const std::string& path,
                                                 [[maybe_unused]] const cuda::Gpu& gpu) {
#ifdef DDPM_RT_HAS_TENSORRT
  return open_tensorrt(path, gpu);
#else
  throw Failure(DDPM_RT_ENGINE_FAILED,
                path + ": this library was built without TensorRT; build it with DDPM_RT_TENSORRT");
#endif
}

}  // namespace ddpm_rt
