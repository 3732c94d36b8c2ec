// A JSON object that has exactly the expected keys: the common part of the readers of cards, steps
// files and plan records.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ddpm_rt {

class JsonObject {
 public:
  // Each message of Failure begins with `source` and ends with `remedy`. Throws Failure for text
  // that exceeds limits.hpp, that is not one JSON object with this format number and these keys, or
  // that has a key twice in one object.
  JsonObject(std::string_view text, std::string source, std::string remedy, int format,
             std::span<const char* const> keys);

  // The object at a key. It must have exactly these keys.
  JsonObject object(const char* key, std::span<const char* const> keys) const;

  // Each of these throws Failure if the value has another type or is out of range.
  std::int64_t integer(const char* key, std::int64_t least, std::int64_t most) const;
  // -1 for null.
  std::int64_t integer_or_null(const char* key, std::int64_t least, std::int64_t most) const;
  std::string text(const char* key) const;
  bool is_null(const char* key) const { return at(key).is_null(); }
  // `count` numbers that are finite in float32.
  std::vector<double> numbers(const char* key, std::size_t count) const;
  std::vector<std::int64_t> integers(const char* key, std::size_t count, std::int64_t least,
                                     std::int64_t most) const;
  std::vector<std::string> texts(const char* key) const;  // at least one
  const nlohmann::json& at(const char* key) const { return object_.at(key); }

  const std::string& source() const { return source_; }
  [[noreturn]] void fail(const std::string& why) const;

 private:
  JsonObject(nlohmann::json object, const JsonObject& whole, std::span<const char* const> keys);
  void parse(std::string_view text);
  void check_keys(std::span<const char* const> keys) const;
  const nlohmann::json& array(const char* key, std::size_t count) const;

  std::string source_, remedy_;
  nlohmann::json object_;
};

}  // namespace ddpm_rt
