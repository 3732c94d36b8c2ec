#include "ort_cuda_provider.hpp"

#include <memory>
#include <string>

#include "error.hpp"

namespace ddpm_rt {

void add_cuda(Ort::SessionOptions& options, int device) {
  const OrtApi& api = Ort::GetApi();
  const std::string number = std::to_string(device);
  const char* const keys[] = {"device_id", "use_tf32"};
  const char* const values[] = {number.c_str(), "0"};
  OrtCUDAProviderOptionsV2* cuda = nullptr;
  try {
    Ort::ThrowOnError(api.CreateCUDAProviderOptions(&cuda));
    const std::unique_ptr<OrtCUDAProviderOptionsV2, void (*)(OrtCUDAProviderOptionsV2*)> owned(
        cuda, api.ReleaseCUDAProviderOptions);
    Ort::ThrowOnError(api.UpdateCUDAProviderOptions(cuda, keys, values, 2));
    options.AppendExecutionProvider_CUDA_V2(*cuda);
  } catch (const Ort::Exception& error) {
    throw Failure(
        DDPM_RT_ENGINE_FAILED,
        std::string("ONNX Runtime's CUDA provider is not available: ") + error.what() +
            "; install the GPU build of ONNX Runtime with its CUDA libraries, or use the CPU");
  }
}

}  // namespace ddpm_rt
