#include "json_limits.hpp"

#include "limits.hpp"

namespace ddpm_rt {
namespace {

bool is_digit(char letter) { return letter >= '0' && letter <= '9'; }

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
      digits_ = is_digit(letter) ? digits_ + 1 : 0;
      if (digits_ > MAX_DIGITS)
        return "a number has more than " + std::to_string(MAX_DIGITS) + " digits";
      if (auto reason = structure(letter); !reason.empty()) return reason;
    }
    return "";
  }

 private:
  std::string structure(char letter) {
    if (letter == '"') in_string_ = true;
    if ((letter == '[' || letter == '{') && ++depth_ > MAX_JSON_DEPTH)
      return "it is nested deeper than " + std::to_string(MAX_JSON_DEPTH) + " levels";
    if ((letter == ']' || letter == '}') && depth_ > 0) --depth_;
    if (letter == ':' && ++keys_ > MAX_KEYS)
      return "it has more than " + std::to_string(MAX_KEYS) + " keys";
    return "";
  }

  bool in_string_ = false;
  std::size_t digits_ = 0, depth_ = 0, keys_ = 0;
};

}  // namespace

std::string exceeded_json_limit(std::string_view text) {
  if (text.size() > MAX_TEXT_BYTES)
    return "it has more than " + std::to_string(MAX_TEXT_BYTES >> 20) + " MiB";
  return Scanner().exceeded_limit(text);
}

}  // namespace ddpm_rt
