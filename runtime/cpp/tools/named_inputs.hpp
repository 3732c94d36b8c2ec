// Values of named inputs from the command line.
#pragma once

#include <ddpm_rt.hpp>
#include <string>
#include <vector>

struct NamedValue {
  std::string name, value;
};

// Splits NAME=VALUE. Throws UsageError.
NamedValue named_value(const std::string& option, const std::string& word);

// Sets the inputs of a sampler: a VALUE is a number, or an .npy of one entry or several. Throws
// UsageError, std::runtime_error and ddpm_rt::Error.
void set_inputs(ddpm_rt::Sampler& sampler, const std::vector<NamedValue>& values,
                const std::vector<NamedValue>& null_values);
