// Arrays with texts in .npz files, with the bytes that Python writes.
// runtime/ddpm_rt/images/array_folder.py is the counterpart.
#pragma once

#include <cstddef>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "png_file.hpp"

struct NpzFacts {
  std::map<std::string, std::string> texts;
  std::size_t array_bytes = 0;  // of x.npy
  bool is_whole = false;        // else there is nothing else
};

// The bytes of a ZIP file with x.npy, float32 of this shape, and the texts as text.json.
std::string npz_bytes(const std::vector<std::size_t>& shape, std::span<const float> numbers,
                      const Texts& texts);

NpzFacts read_npz_facts(std::string_view bytes);
