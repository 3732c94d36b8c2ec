// ONNX Runtime's CUDA provider.
#pragma once

#include <onnxruntime_cxx_api.h>

namespace ddpm_rt {

// The CUDA provider, with float32 products that are float32's. Its tensors come from and go to host
// memory, which ONNX Runtime copies itself. What it cannot have, it says here or when the session
// is made: it does not fall back by itself. Throws Failure.
void add_cuda(Ort::SessionOptions& options, int device);

}  // namespace ddpm_rt
