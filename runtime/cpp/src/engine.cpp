#include "engine.hpp"

#include "error.hpp"
#ifdef DDPM_RT_HAS_ONNXRUNTIME
#include "ort_engine.hpp"
#endif

namespace ddpm_rt {

std::unique_ptr<Engine> open_engine(const ModelSource& source,
                                    [[maybe_unused]] const ddpm_rt_open_options& options) {
#ifdef DDPM_RT_HAS_ONNXRUNTIME
  return open_ort(source, options);
#else
  engine_failed(source.name +
                ": this library was built without ONNX Runtime; build it with DDPM_RT_ONNXRUNTIME");
#endif
}

}  // namespace ddpm_rt
