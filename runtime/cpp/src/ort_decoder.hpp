// A decoder in ONNX Runtime, on the CPU.
#pragma once

#include <memory>
#include <string>

#include "decoder.hpp"

namespace ddpm_rt {

// The decoder in the file `path`, for a model with latents. Throws Failure unless the file has one
// float32 input of the model's shape, and one float32 output of a fixed size.
std::unique_ptr<Decoder> open_ort_decoder(const std::string& path, const Card& card, int threads);

}  // namespace ddpm_rt
