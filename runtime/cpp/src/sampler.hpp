// The sampler of the C interface.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "ddpm_rt.h"
#include "decoder.hpp"
#include "given_inputs.hpp"
#include "request.hpp"
#include "runner.hpp"
#include "steps_file.hpp"

struct ddpm_rt_sampler {
  explicit ddpm_rt_sampler(ddpm_rt::StepsFile read)
      : steps(std::move(read)), inputs(steps.model), null_inputs(steps.model) {}

  const ddpm_rt::StepsFile steps;
  ddpm_rt::GivenInputs inputs, null_inputs;  // refer to `steps`, as the runner does
  std::unique_ptr<ddpm_rt::Runner> runner;
  std::string path;  // of the model; "" in memory
  int threads = 0;
  std::unique_ptr<ddpm_rt::Decoder> decoder;  // opened when it is needed
};
