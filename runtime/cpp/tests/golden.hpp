// The files of scripts/make_golden.py.
#pragma once

#include <cstring>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>

inline std::string golden_text(const std::string& name) {
  std::ifstream file(DDPM_RT_GOLDEN "/" + name, std::ios::binary);
  if (!file) throw std::runtime_error("tests/golden/" + name + " is missing");
  return {std::istreambuf_iterator<char>(file), {}};
}

inline nlohmann::json golden(const std::string& name) {
  return nlohmann::json::parse(golden_text(name));
}

inline std::uint32_t bits(float value) {
  std::uint32_t pattern;
  std::memcpy(&pattern, &value, sizeof pattern);
  return pattern;
}
