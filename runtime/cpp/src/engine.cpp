#include "engine.hpp"

#include "error.hpp"

namespace ddpm_rt {

std::unique_ptr<Engine> open_engine(const std::string& path, [[maybe_unused]] int threads) {
  if (path.ends_with(".plan"))
    bad_file(path + ": this library does not run plans yet; name the .onnx");
#ifdef DDPM_RT_HAS_ONNXRUNTIME
  return open_ort(path, threads);
#else
  bad_file(path + ": this library was built without an engine; build it with DDPM_RT_ONNXRUNTIME");
#endif
}

}  // namespace ddpm_rt
