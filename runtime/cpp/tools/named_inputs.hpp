// Values of named inputs from the command line.
#pragma once

#include <ddpm_rt.hpp>
#include <string>
#include <vector>

#include "npy_file.hpp"

struct NamedValue {
  std::string name, value;
};

// Splits NAME=VALUE. Throws UsageError.
NamedValue named_value(const std::string& option, const std::string& word);

// A value that was read: a number, or an array of one entry or several.
struct InputValue {
  std::string name;
  Array array;
  bool is_picture;  // float32 in [-1, 1]
};
using InputValues = std::vector<InputValue>;

// Reads the values of inputs: a VALUE is a number, an .npy, or a picture, which has the size of the
// input or is resized. Throws UsageError and std::runtime_error.
InputValues read_inputs(const std::vector<ddpm_rt_input>& known,
                        const std::vector<NamedValue>& values, bool resize);

// Throws ddpm_rt::Error.
void set_inputs(ddpm_rt::Sampler& sampler, const InputValues& values,
                const InputValues& null_values);
