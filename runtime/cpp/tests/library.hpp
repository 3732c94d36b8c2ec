// What the tests of the installed interface share; the models are those of scripts/cpp_files.py.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "ddpm_rt.hpp"

inline std::string file(const std::string& name) { return DDPM_RT_TEST_FILES "/" + name; }

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
