#include "python_text.hpp"

#include <charconv>

namespace {

std::string shortest(double value, std::chars_format format) {
  char text[400];  // the largest number has 309 digits
  return {text, std::to_chars(text, text + sizeof text, value, format).ptr};
}

}  // namespace

std::string python_text(double value) {
  const std::string scientific = shortest(value, std::chars_format::scientific);
  const auto e = scientific.find('e');
  const int exponent = std::stoi(scientific.substr(e + 1));
  if (exponent < -4 || exponent >= 16) return scientific;
  const std::string fixed = shortest(value, std::chars_format::fixed);
  return fixed.find('.') == fixed.npos ? fixed + ".0" : fixed;
}
