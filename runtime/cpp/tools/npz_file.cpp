#include "npz_file.hpp"

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "npy_file.hpp"

namespace {

using Json = nlohmann::json;

constexpr const char *ARRAY = "x.npy", *TEXT = "text.json";
constexpr std::string_view LOCAL("PK\x03\x04", 4), CENTRAL("PK\x01\x02", 4), END("PK\x05\x06", 4);
// places in the header of a member
constexpr std::size_t CRC = 14, SIZE = 22, NAME_SIZE = 26, EXTRA_SIZE = 28, NAME = 30;
constexpr unsigned VERSION = 20, UNIX = 3;
constexpr unsigned FIRST_DAY = 1 << 5 | 1;  // 1 January 1980: equal samples are equal files
constexpr unsigned MODE = 0600U << 16;

std::string little_endian(std::uint64_t number, std::size_t bytes) {
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) text += static_cast<char>(number >> 8 * i & 255);
  return text;
}

std::size_t number_at(std::string_view bytes, std::size_t place, std::size_t count) {
  std::size_t number = 0;
  for (std::size_t i = count; i-- > 0;)
    number = number << 8 | static_cast<std::uint8_t>(bytes[place + i]);
  return number;
}

// What both headers of a stored member share: from the version to the length of extra fields.
std::string facts_of(const std::string& name, const std::string& content) {
  const std::string size = little_endian(content.size(), 4);
  return little_endian(VERSION, 2) + std::string(6, '\0') + little_endian(FIRST_DAY, 2) +
         little_endian(crc32(content), 4) + size + size + little_endian(name.size(), 2) +
         std::string(2, '\0');
}

// As Python's json.dumps.
std::string json_of(const Texts& texts) {
  const auto quoted = [](const std::string& text) { return Json(text).dump(-1, ' ', true); };
  std::string json;
  for (const auto& [key, value] : texts)
    json += (json.empty() ? "" : ", ") + quoted(key) + ": " + quoted(value);
  return "{" + json + "}";
}

// Takes a stored member off the beginning; nothing if it is damaged.
std::optional<std::string_view> take_member(std::string_view& bytes, std::string_view name) {
  const std::size_t begin = NAME + name.size();
  if (!bytes.starts_with(LOCAL) || bytes.size() < begin ||
      number_at(bytes, NAME_SIZE, 2) != name.size() || number_at(bytes, EXTRA_SIZE, 2) != 0 ||
      bytes.substr(NAME, name.size()) != name)
    return std::nullopt;
  const std::size_t size = number_at(bytes, SIZE, 4);
  if (size > bytes.size() - begin) return std::nullopt;
  const std::string_view content = bytes.substr(begin, size);
  if (crc32(content) != number_at(bytes, CRC, 4)) return std::nullopt;
  bytes.remove_prefix(begin + size);
  return content;
}

}  // namespace

std::string npz_bytes(const std::vector<std::size_t>& shape, std::span<const float> numbers,
                      const Texts& texts) {
  const std::pair<std::string, std::string> parts[] = {{ARRAY, npy_bytes(shape, numbers)},
                                                       {TEXT, json_of(texts)}};
  std::string members, directory;
  for (const auto& [name, content] : parts) {
    const std::string facts = facts_of(name, content);
    directory += std::string(CENTRAL) + little_endian(VERSION, 1) + little_endian(UNIX, 1) + facts +
                 std::string(6, '\0') + little_endian(MODE, 4) + little_endian(members.size(), 4) +
                 name;
    members += std::string(LOCAL) + facts + name + content;
  }
  const std::string count = little_endian(std::size(parts), 2);
  return members + directory + std::string(END) + std::string(4, '\0') + count + count +
         little_endian(directory.size(), 4) + little_endian(members.size(), 4) +
         std::string(2, '\0');
}

NpzFacts read_npz_facts(std::string_view bytes) {
  constexpr std::size_t END_BYTES = 22;
  const auto array = take_member(bytes, ARRAY), text = take_member(bytes, TEXT);
  if (!array || !text || !bytes.starts_with(CENTRAL) || bytes.size() < END_BYTES ||
      !bytes.substr(bytes.size() - END_BYTES).starts_with(END))
    return {};
  const Json read = Json::parse(*text, nullptr, false);
  if (!read.is_object()) return {};
  NpzFacts facts = {{}, array->size(), true};
  for (const auto& [key, value] : read.items())
    facts.texts[key] = value.is_string() ? value.get<std::string>() : value.dump();
  return facts;
}
