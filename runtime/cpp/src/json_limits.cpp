#include "json_limits.hpp"

#include <vector>

#include "limits.hpp"

namespace ddpm_rt {
namespace {

bool belongs_to_number(char letter) {
  return (letter >= '0' && letter <= '9') || letter == '+' || letter == '-' || letter == '.' ||
         letter == 'e' || letter == 'E';
}

std::string more_than(std::size_t limit, const char* unit) {
  return "more than " + std::to_string(limit) + " " + unit;
}

// Reads the text letter by letter; strings are skipped.
class Scanner {
 public:
  std::string exceeded_limit(std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i) {
      const char letter = text[i];
      if (in_string_) {
        if (letter == '\\') ++i;
        in_string_ = letter != '"';
        continue;
      }
      number_length_ = belongs_to_number(letter) ? number_length_ + 1 : 0;
      if (number_length_ > MAX_NUMBER_CHARACTERS)
        return "it has a number of " + more_than(MAX_NUMBER_CHARACTERS, "characters");
      if (auto reason = structure(letter); !reason.empty()) return reason;
    }
    return "";
  }

 private:
  std::string structure(char letter) {
    if (letter == '"') in_string_ = true;
    if (letter == '[' || letter == '{') {
      if (keys_.size() == MAX_JSON_DEPTH)
        return "nested too deeply: " + more_than(MAX_JSON_DEPTH, "levels");
      keys_.push_back(0);
    }
    if ((letter == ']' || letter == '}') && !keys_.empty()) keys_.pop_back();
    if (letter == ':' && !keys_.empty() && ++keys_.back() > MAX_OBJECT_KEYS)
      return "an object has " + more_than(MAX_OBJECT_KEYS, "keys");
    if ((letter == ',' || letter == '[' || letter == '{') && ++values_ > MAX_JSON_VALUES)
      return "it has " + more_than(MAX_JSON_VALUES, "values");
    return "";
  }

  bool in_string_ = false;
  std::size_t number_length_ = 0, values_ = 0;
  std::vector<std::size_t> keys_;  // of the objects and arrays that are open
};

}  // namespace

std::string exceeded_json_limit(std::string_view text) { return Scanner().exceeded_limit(text); }

}  // namespace ddpm_rt
