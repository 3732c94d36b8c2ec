// The model card: what must be known of it to sample by a steps file. runtime/ddpm_rt/card.py is
// the definition.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ddpm_rt {

inline constexpr const char* CARD_KEY = "ddpm_rt.card";  // of ONNX's metadata_props

// The shape of an image and the graph's names for its tensors; a card and a steps file both say it.
struct Model {
  std::uint32_t channels, height, width, output_channels;
  std::int64_t classes, null_class;  // -1: none
  std::string x, t, y, out;          // y is "" unless class-conditional

  std::size_t image() const { return std::size_t{channels} * height * width; }
  std::size_t output() const { return std::size_t{output_channels} * height * width; }
  bool operator==(const Model&) const = default;
};

struct Card {
  Model model;
  std::int64_t train_steps;
  std::string sha256;  // of its text: the steps file names it
};

// Throws Failure, which begins with `source`, for anything but a whole format-1 card.
Card read_card(std::string_view text, const std::string& source);

// Throws Failure unless it is an image that a program can hold.
void check_shape(const Model& model, const std::string& source);

inline constexpr std::int64_t MAX_SIDE = 1 << 16;
inline constexpr std::int64_t MAX_CLASSES = std::int64_t{1} << 32;

}  // namespace ddpm_rt
