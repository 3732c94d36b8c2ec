#include "device_engine.hpp"

#include "error.hpp"
#ifdef DDPM_RT_HAS_TENSORRT
#include "tensorrt_engine.hpp"
#endif

namespace ddpm_rt {

std::unique_ptr<DeviceEngine> open_device_engine(const ModelSource& source,
                                                 [[maybe_unused]] const cuda::Gpu& gpu) {
#ifdef DDPM_RT_HAS_TENSORRT
  return open_tensorrt(source, gpu);
#else
  engine_failed(source.name +
                ": this library was built without TensorRT; build it with DDPM_RT_TENSORRT");
#endif
}

}  // namespace ddpm_rt
