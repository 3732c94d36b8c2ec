#include "ort_session.hpp"

#include "file.hpp"
#include "ort_cuda_provider.hpp"
#include "threads.hpp"

namespace ddpm_rt {

Ort::Session open_session(const Ort::Env& env, const ModelSource& source,
                          const ddpm_rt_open_options& wanted) {
  Ort::SessionOptions options;
  options.SetLogSeverityLevel(ORT_LOGGING_LEVEL_FATAL);  // the exception has the reason as well
  // 0: ONNX Runtime chooses
  options.SetIntraOpNumThreads(wanted.threads > 0 ? wanted.threads : default_threads());
  if (wanted.provider == DDPM_RT_CUDA) add_cuda(options, wanted.device);
  if (source.in_memory) return Ort::Session(env, source.model.data(), source.model.size(), options);
  return Ort::Session(env, path_of(source.name).c_str(), options);
}

}  // namespace ddpm_rt
