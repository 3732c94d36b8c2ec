// The command line of ddpm-rt-cpp.
#pragma once

#include <cstdint>
#include <ddpm_rt.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "named_inputs.hpp"
#include "shard.hpp"

struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Arguments {
  std::string model;
  std::optional<std::string> steps;  // without: the fitted table of the model
  std::string out = "samples.png";
  std::uint64_t seed = 0, first = 0, batch = 16, scale = 1;
  std::optional<std::uint64_t> count, resample;
  std::optional<Shard> shard;
  std::optional<double> strength;
  std::string init_image, mask, init_noise;  // files; "": not given
  std::vector<std::int64_t> labels;
  double guidance = 1.0;
  std::vector<NamedValue> inputs, null_inputs;
  ddpm_rt::OpenOptions open;
  bool resize = false, stream_steps = false, quiet = false, help = false, version = false;
};

extern const char* const USAGE;

// Throws UsageError.
Arguments parse_arguments(const std::vector<std::string>& words);
