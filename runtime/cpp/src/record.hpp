// A JSON object with exactly the keys that it must have, read strictly: the common part of cards
// and steps files.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ddpm_rt {

class Record {
 public:
  // `what` begins each sentence, `remedy` ends it. Throws Failure for text that is not one JSON
  // object of `format` with these keys, for a key that is there twice in one object and for nesting
  // deeper than `depth`.
  Record(std::string_view text, std::string what, std::string remedy, int depth, int format,
         std::span<const char* const> keys);

  // The object behind a key, with exactly these keys of its own.
  Record part(const char* key, std::span<const char* const> keys) const;

  std::int64_t integer(const char* key, std::int64_t least, std::int64_t most) const;
  std::int64_t integer_or_null(const char* key, std::int64_t least,
                               std::int64_t most) const;  // -1 for null
  std::string text(const char* key) const;
  bool is_null(const char* key) const { return at(key).is_null(); }
  std::vector<double> numbers(const char* key, std::size_t count) const;  // finite, as float too
  std::vector<std::int64_t> integers(const char* key, std::size_t count, std::int64_t least,
                                     std::int64_t most) const;
  std::vector<std::string> texts(const char* key) const;  // one at least
  const nlohmann::json& at(const char* key) const { return object_.at(key); }

  const std::string& what() const { return what_; }  // the begin of each sentence
  [[noreturn]] void fail(const std::string& why) const;

 private:
  Record(nlohmann::json object, const Record& whole, std::span<const char* const> keys);
  void parse(std::string_view text, int depth);
  void check_keys(std::span<const char* const> keys) const;
  const nlohmann::json& array(const char* key, std::size_t count) const;

  std::string what_, remedy_;
  nlohmann::json object_;
};

}  // namespace ddpm_rt
