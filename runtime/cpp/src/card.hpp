// The model card: the part of it that sampling with a steps file needs.
// runtime/ddpm_rt/artifacts/card.py has the definition.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ddpm_rt {

inline constexpr const char* CARD_KEY = "ddpm_rt.card";  // in metadata_props of an ONNX file

// The shape of an image, and the names of the graph's tensors. Cards and steps files have both.
struct Model {
  std::uint32_t channels, height, width, output_channels;
  std::int64_t classes, null_class;  // -1: none
  std::string x, t, y, out;          // y is "" for an unconditional model

  std::size_t image() const { return std::size_t{channels} * height * width; }
  std::size_t output() const { return std::size_t{output_channels} * height * width; }
  bool operator==(const Model&) const = default;
};

struct Card {
  Model model;
  std::int64_t train_steps;
  std::string sha256;  // of the text of the card; a steps file refers to its card by it
};

// Throws Failure, whose message begins with `source`, for anything but a complete card of format 1.
Card read_card(std::string_view text, const std::string& source);

// Throws Failure if an image has more than MAX_ELEMENTS values.
void check_image_size(const Model& model, const std::string& source);

}  // namespace ddpm_rt
