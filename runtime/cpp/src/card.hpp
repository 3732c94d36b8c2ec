// The model card. runtime/ddpm_rt/artifacts/card.py and card_format.py have the definition.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model.hpp"
#include "process.hpp"

namespace ddpm_rt {

inline constexpr const char* CARD_KEY = "ddpm_rt.card";  // in metadata_props of an ONNX file

// The network draws latents; an image is decoder(x / scale + shift).
struct Latents {
  double scale, shift;
  std::string decoder;  // the name of an ONNX file beside the model; "": none
};

struct Card {
  int format;
  Model model;
  Process process;
  std::string prediction;
  std::optional<Latents> latents;
  std::string sha256;  // of the text of the card; a steps file refers to its card by it

  // Whether a sample is a grey or an RGB image of pixels.
  bool is_picture() const;
};

// Throws Failure, whose message begins with `source`, for anything but a complete card of format 1
// or 2.
Card read_card(std::string_view text, const std::string& source);

}  // namespace ddpm_rt
