#include "one_line.hpp"

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <vector>

namespace ddpm_rt {
namespace {

constexpr std::string_view CUT = " ... ";

struct Letter {
  std::uint32_t code;
  std::size_t bytes;  // 0: the text is not UTF-8 here
};

// The character at the begin of `text`, which is not empty: RFC 3629, without overlong forms and
// surrogates.
Letter first_letter(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<std::uint8_t>(text[i]); };
  if (byte(0) < 0x80) return {byte(0), 1};
  const std::size_t bytes = byte(0) < 0xC2   ? 0
                            : byte(0) < 0xE0 ? 2
                            : byte(0) < 0xF0 ? 3
                            : byte(0) < 0xF5 ? 4
                                             : 0;
  if (bytes == 0 || text.size() < bytes) return {byte(0), 0};
  std::uint32_t code = byte(0) & (0x7Fu >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {byte(0), 0};
    code = code << 6 | (byte(i) & 0x3Fu);
  }
  const bool overlong = (bytes == 3 && code < 0x800) || (bytes == 4 && code < 0x10000);
  const bool surrogate = code >= 0xD800 && code < 0xE000;
  return overlong || surrogate || code > 0x10FFFF ? Letter{byte(0), 0} : Letter{code, bytes};
}

// Controls, line and paragraph separators, and invisible characters that format text.
bool is_printable(std::uint32_t code) {
  const bool control = code < 0x20 || (code >= 0x7F && code < 0xA0) || code == 0xAD;
  const bool format = (code >= 0x200B && code <= 0x200F) || (code >= 0x2028 && code <= 0x202E) ||
                      (code >= 0x2060 && code <= 0x206F) || code == 0x061C || code == 0xFEFF ||
                      (code >= 0xFFF0 && code <= 0xFFFB) || (code >= 0xE0000 && code < 0xF0000);
  return !control && !format;
}

std::string escaped(std::uint32_t code) {
  if (code == '\n') return "\\n";
  if (code == '\t') return "\\t";
  if (code == '\r') return "\\r";
  char text[16];
  const char* const format = code < 0x100 ? "\\x%02x" : code < 0x10000 ? "\\u%04x" : "\\U%08x";
  std::snprintf(text, sizeof text, format, static_cast<unsigned>(code));
  return text;
}

// The begin and the end of a long text, cut between characters: the middle will not be in the line.
// A character has at most 4 bytes.
std::string begin_and_end(std::string_view text, std::size_t most) {
  const std::size_t kept = 4 * most;
  if (text.size() <= 2 * kept) return std::string(text);
  const auto continues = [&](std::size_t i) { return (text[i] & 0xC0) == 0x80; };
  std::size_t head = kept, tail = text.size() - kept;
  while (head > 0 && continues(head)) --head;
  while (tail < text.size() && continues(tail)) ++tail;
  return std::string(text.substr(0, head)).append(text.substr(tail));
}

}  // namespace

std::string one_line(std::string_view whole, std::size_t most) {
  const std::string relevant = begin_and_end(whole, most);
  std::string_view text = relevant;
  std::string line;
  std::vector<std::size_t> begins;  // of the characters of the line
  while (!text.empty()) {
    const Letter letter = first_letter(text);
    if (letter.bytes != 0 && is_printable(letter.code)) {
      begins.push_back(line.size());
      line += text.substr(0, letter.bytes);
    } else {
      for (const char character : escaped(letter.code)) {
        begins.push_back(line.size());
        line += character;
      }
    }
    text.remove_prefix(letter.bytes == 0 ? 1 : letter.bytes);
  }
  if (begins.size() <= most) return line;
  const std::size_t kept = most - CUT.size(), head = kept / 2, tail = kept - head;
  std::string shortened = line.substr(0, begins[head]);
  shortened += CUT;
  shortened += line.substr(begins[begins.size() - tail]);
  return shortened;
}

// Only the first byte of a character is not 10xxxxxx.
std::size_t characters_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return (byte & 0xC0) != 0x80; }));
}

}  // namespace ddpm_rt
