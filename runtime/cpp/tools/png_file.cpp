#include "png_file.hpp"

#include <algorithm>
#include <array>

namespace {

constexpr std::size_t FRAME = 12;                            // length, type, checksum
constexpr std::size_t HEADER_END = 8 + FRAME + 13;           // of the signature and IHDR
constexpr std::string_view NOT_COMPRESSED("\0\0\0\0\0", 5);  // of iTXt: no language either

using CrcTable = std::array<std::uint32_t, 256>;

constexpr CrcTable crc_table() {
  CrcTable table = {};
  for (std::uint32_t n = 0; n < 256; ++n) {
    std::uint32_t crc = n;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320U : 0U);
    table[n] = crc;
  }
  return table;
}

std::uint32_t number_at(std::string_view bytes, std::size_t place) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i)
    number = number << 8 | static_cast<std::uint8_t>(bytes[place + i]);
  return number;
}

std::string as_bytes(std::uint32_t number) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(number >> shift & 255);
  return bytes;
}

std::string utf8_of_latin1(std::string_view latin1) {
  std::string text;
  for (const char letter : latin1) {
    const auto code = static_cast<std::uint8_t>(letter);
    if (code >= 0x80) text += static_cast<char>(0xC0 | code >> 6);
    text += static_cast<char>(code < 0x80 ? code : 0x80 | (code & 0x3F));
  }
  return text;
}

// Adds the key and the value of a tEXt chunk, or of an iTXt chunk that is not compressed.
void add_text(PngFacts& facts, bool is_utf8, std::string_view data) {
  const std::size_t end = data.find('\0');
  if (end == data.npos) return;
  const std::string key = utf8_of_latin1(data.substr(0, end));
  std::string_view value = data.substr(end + 1);
  if (!is_utf8) {
    facts.texts[key] = utf8_of_latin1(value);
    return;
  }
  if (value.size() < 2 || value[0] != '\0') return;
  value.remove_prefix(2);
  for (int field = 0; field < 2; ++field) {  // the language, and the translated key
    const std::size_t field_end = value.find('\0');
    if (field_end == value.npos) return;
    value.remove_prefix(field_end + 1);
  }
  facts.texts[key] = std::string(value);
}

void add_chunk(PngFacts& facts, std::string_view type, std::string_view data) {
  if (type == "IHDR" && data.size() == 13) {
    facts.width = number_at(data, 0);
    facts.height = number_at(data, 4);
    facts.depth = static_cast<std::uint8_t>(data[8]);
    facts.color = static_cast<std::uint8_t>(data[9]);
  } else if (type == "acTL" && data.size() == 8) {
    facts.frames = number_at(data, 0);
  } else if (type == "tEXt" || type == "iTXt") {
    add_text(facts, type == "iTXt", data);
  } else if (type == "IEND") {
    facts.is_whole = true;
  }
}

std::string chunk_of(const std::string& type, const std::string& data) {
  return as_bytes(static_cast<std::uint32_t>(data.size())) + type + data +
         as_bytes(crc32(type + data));
}

bool is_ascii(const std::string& text) {
  return std::all_of(text.begin(), text.end(),
                     [](char letter) { return static_cast<std::uint8_t>(letter) < 0x80; });
}

}  // namespace

std::uint32_t crc32(std::string_view bytes) {
  static constexpr CrcTable TABLE = crc_table();
  std::uint32_t crc = ~0U;
  for (const char byte : bytes)
    crc = TABLE[(crc ^ static_cast<std::uint8_t>(byte)) & 255] ^ crc >> 8;
  return ~crc;
}

PngFacts read_png_facts(std::string_view bytes) {
  PngFacts facts;
  if (!bytes.starts_with(PNG_SIGNATURE)) return facts;
  std::size_t at = PNG_SIGNATURE.size();
  while (!facts.is_whole && bytes.size() - at >= FRAME) {
    const std::size_t size = number_at(bytes, at);
    if (size > bytes.size() - at - FRAME) break;
    const std::string_view checked = bytes.substr(at + 4, 4 + size);
    if (crc32(checked) != number_at(bytes, at + 8 + size)) break;
    add_chunk(facts, checked.substr(0, 4), checked.substr(4));
    at += FRAME + size;
  }
  return facts;
}

std::string with_texts(const std::string& png, const Texts& texts) {
  std::string chunks;
  for (const auto& [key, value] : texts)
    chunks += is_ascii(value) ? chunk_of("tEXt", key + '\0' + value)
                              : chunk_of("iTXt", key + std::string(NOT_COMPRESSED) + value);
  return png.substr(0, HEADER_END) + chunks + png.substr(HEADER_END);
}
