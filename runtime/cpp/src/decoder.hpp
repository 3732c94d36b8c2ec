// The decoder of a latent model: an ONNX file beside the model that turns latents into images.
// runtime/ddpm_rt/engines/decoder.py is the counterpart.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "card.hpp"

namespace ddpm_rt {

class Decoder {
 public:
  virtual ~Decoder() = default;
  virtual const Sides& shape() const = 0;  // [1 or 3, H, W] of an image
  // Writes images [count, *shape()] of x / scale + shift. Throws Failure.
  virtual void decode(const float* latents, std::size_t count, float* images) = 0;
};

// The decoder that the card of the model file `model` names. `threads` is as in
// ddpm_rt_open_options. Throws Failure if there is none.
std::unique_ptr<Decoder> open_decoder(const std::string& model, const Card& card, int threads);

}  // namespace ddpm_rt
