// A JSON object that has exactly the expected keys: the common part of the readers of cards, steps
// files and plan records.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ddpm_rt {

class JsonObject {
 public:
  using Keys = std::span<const char* const>;

  // Each message of Failure begins with `source` and ends with `remedy`. `keys` are those of format
  // 1, of format 2, and so on. Throws Failure for text that exceeds limits.hpp, that is not one JSON
  // object of a known format with exactly its keys and some of `optional`, or that has a key twice
  // in one object.
  JsonObject(std::string_view text, std::string source, std::string remedy,
             std::initializer_list<Keys> keys, Keys optional = {});

  int format() const { return format_; }

  // The object at a key. It must have exactly these keys; check_keys() checks them later.
  JsonObject object(const char* key, Keys keys) const;
  JsonObject object(const char* key) const;
  // The same for a value inside of this object, which messages call `what`.
  JsonObject object(const nlohmann::json& value, const std::string& what) const;
  void check_keys(Keys keys, Keys optional = {}) const;

  // Each of these throws Failure if the value has another type or is out of range.
  std::int64_t integer(const char* key, std::int64_t least, std::int64_t most) const;
  // -1 for null.
  std::int64_t integer_or_null(const char* key, std::int64_t least, std::int64_t most) const;
  std::string text(const char* key) const;
  // At most MAX_NAME_CHARACTERS of it.
  std::string short_text(const char* key) const;
  // One of these words.
  std::string word(const char* key, Keys words) const;
  double number(const char* key) const;
  bool is_null(const char* key) const { return at(key).is_null(); }
  // `count` numbers that float32 can hold.
  std::vector<double> numbers(const char* key, std::size_t count) const;
  // [low, high], which differ in float32; nothing for null.
  std::optional<std::pair<float, float>> range_or_null(const char* key) const;
  // `least` to `most` sides of a tensor, of at most MAX_ELEMENTS numbers.
  std::vector<std::int64_t> shape(const char* key, std::size_t least, std::size_t most) const;
  std::vector<std::int64_t> integers(const char* key, std::size_t count, std::int64_t least,
                                     std::int64_t most) const;
  std::vector<std::string> texts(const char* key) const;  // at least one
  const nlohmann::json& at(const char* key) const { return object_.at(key); }
  bool has(const char* key) const { return object_.contains(key); }
  const nlohmann::json& all() const { return object_; }

  const std::string& source() const { return source_; }
  [[noreturn]] void fail(const std::string& why) const;

 private:
  JsonObject(nlohmann::json object, const JsonObject& whole);
  void parse(std::string_view text);
  const nlohmann::json& array(const char* key, std::size_t count) const;

  std::string source_, remedy_;
  int format_ = 0;
  nlohmann::json object_;
};

}  // namespace ddpm_rt
