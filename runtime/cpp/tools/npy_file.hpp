// Arrays of numbers in .npy files. runtime/ddpm_rt/artifacts/array_file.py is the counterpart.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

struct Array {
  std::vector<std::size_t> shape;  // {}: one number
  std::vector<double> numbers;     // in C order
};

// Reads a file of any number type, byte order and layout, of at most 2^27 numbers. Throws
// std::runtime_error for anything but one complete array of numbers.
Array read_npy(const std::string& path);

// A shape as text: [3, 4, 6].
std::string text_of(const std::vector<std::size_t>& shape);

// The bytes of a file of float32 of this shape, as NumPy writes it.
std::string npy_bytes(const std::vector<std::size_t>& shape, std::span<const float> numbers);

// Throws std::runtime_error.
void write_npy(const std::string& path, const std::vector<std::size_t>& shape,
               std::span<const float> numbers);
