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
  // Must be called once, before anything is drawn.
  void set_steps(ddpm_rt::StepsFile read) {
    steps = std::move(read);
    inputs = null_inputs = ddpm_rt::GivenInputs(steps.model);
  }

  ddpm_rt::StepsFile steps = {};
  // refer to `steps`, as the runner does
  ddpm_rt::GivenInputs inputs{steps.model}, null_inputs{steps.model};
  std::unique_ptr<ddpm_rt::Runner> runner;
  std::string path;  // of the model; "" in memory
  int threads = 0;
  std::unique_ptr<ddpm_rt::Decoder> decoder;  // opened when it is needed
};
