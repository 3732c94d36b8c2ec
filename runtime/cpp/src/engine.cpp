#include "engine.hpp"

#include "error.hpp"

namespace ddpm_rt {

std::unique_ptr<Engine> open_engine(const std::string& path,
                                    [[maybe_unused]] const ddpm_rt_open_options& options) {
#ifdef DDPM_RT_HAS_ONNXRUNTIME
  return open_ort(path, options);
#else
  bad_file(path + ": this library was built without an engine; build it with DDPM_RT_ONNXRUNTIME");
#endif
}

}  // namespace ddpm_rt
