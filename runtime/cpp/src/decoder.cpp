#include "decoder.hpp"

#include "error.hpp"
#include "file.hpp"
#ifdef DDPM_RT_HAS_ONNXRUNTIME
#include "ort_decoder.hpp"
#endif

namespace ddpm_rt {

std::unique_ptr<Decoder> open_decoder(const std::string& model, const Card& card,
                                      [[maybe_unused]] int threads) {
  if (!card.latents) bad_argument("the model draws no latents, so there is nothing to decode");
  if (card.latents->decoder.empty())
    bad_argument("the card of the model names no decoder for its latents");
  if (model.empty()) bad_argument("a model in memory has no decoder beside it");
  const std::string path = (path_of(model).parent_path() / path_of(card.latents->decoder)).string();
#ifdef DDPM_RT_HAS_ONNXRUNTIME
  return open_ort_decoder(path, card, threads);
#else
  engine_failed(path +
                ": this library was built without ONNX Runtime; build it with DDPM_RT_ONNXRUNTIME");
#endif
}

}  // namespace ddpm_rt
