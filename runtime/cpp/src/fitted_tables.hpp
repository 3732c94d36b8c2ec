// Fitted tables inside a model file, as texts of steps files: in the metadata of an ONNX file or in
// the record of a plan. runtime/ddpm_rt/artifacts/fitted_tables.py has the definition.
#pragma once

#include <charconv>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "steps_file.hpp"

namespace ddpm_rt {

constexpr std::string_view FITTED_KEY = "ddpm_rt.steps.";  // in ONNX metadata; the calls follow

using FittedTables = std::map<std::int64_t, std::string>;  // by network calls

// The number of a table's network calls; nothing for text that is no number.
inline std::optional<std::int64_t> calls_of(std::string_view digits) {
  std::int64_t calls = -1;
  const char* const last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, calls);
  if (error != std::errc() || end != last || calls < 0 || digits.starts_with('-'))
    return std::nullopt;
  return calls;
}

// The table of the most calls, which `ddpm-rt sample --sampler fitted` takes as well. `model` begins
// each message. Throws Failure if there is none, or it is damaged.
StepsFile longest(const FittedTables& tables, const std::string& model);

}  // namespace ddpm_rt
