// ONNX Runtime's CUDA provider.
#pragma once

#include <onnxruntime_cxx_api.h>

namespace ddpm_rt {

// Adds the CUDA provider, without TF32: products of float32 are exact to float32. ONNX Runtime
// copies the tensors from and to host memory. If the provider is not available, this function or
// the session throws; ONNX Runtime does not fall back to the CPU. Throws Failure.
void add_cuda(Ort::SessionOptions& options, int device);

}  // namespace ddpm_rt
