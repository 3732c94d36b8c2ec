// What a description of an image says of the files of a model: their SHA-256.
#pragma once

#include <optional>
#include <string>

// Whether a file begins as plans do. Throws std::runtime_error if it cannot be read.
bool is_plan(const std::string& path);

struct ModelDigests {
  std::string model;
  std::string table;    // of the numbers of the step table
  std::string decoder;  // "": none
};

// Reads the model, its steps file (without: the longest fitted table in the model) and, if the
// images are decoded, the decoder. The library has opened all of them. Throws std::exception.
ModelDigests digests_of(const std::string& model, const std::optional<std::string>& steps,
                        bool is_decoded);
