// The chunks of PNG files: the texts in them, and whether a file is whole.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Keys and values that describe an image, UTF-8, in their order.
using Texts = std::vector<std::pair<std::string, std::string>>;

struct PngFacts {
  std::map<std::string, std::string> texts;
  std::uint32_t width = 0, height = 0;  // 0: the header is damaged
  int depth = 0, color = 0;             // bits of a channel, and the color type of PNG
  std::uint32_t frames = 1;
  bool is_whole = false;  // whether every chunk up to the last one has its checksum
};

constexpr std::string_view PNG_SIGNATURE("\x89PNG\r\n\x1a\n", 8);

// The checksum of PNG and ZIP files: ISO 3309.
std::uint32_t crc32(std::string_view bytes);

// What the chunks of a file say, up to the first damaged one. Compressed texts are skipped.
PngFacts read_png_facts(std::string_view bytes);

// A whole PNG with these texts behind its header.
std::string with_texts(const std::string& png, const Texts& texts);
