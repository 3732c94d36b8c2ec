// Helpers for the tests of the public interface. scripts/cpp_files.py writes the models.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "ddpm_rt.hpp"

inline std::string file(const std::string& name) { return DDPM_RT_TEST_FILES "/" + name; }

inline std::string content(const std::string& name) {
  std::ifstream stream(file(name), std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), {}};
}

inline ddpm_rt::Bytes bytes(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

inline ddpm_rt::Sampler opened(const std::string& engine = "gaussian.onnx",
                               const std::string& steps = "ddpm.steps.json") {
  return {file(engine), file(steps), 1};
}

inline float furthest(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  float most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

inline bool has(const std::string& sentence, const std::string& part) {
  INFO(sentence);
  return sentence.find(part) != std::string::npos;
}
