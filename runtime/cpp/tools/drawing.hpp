// Drawing what the command line asks for.
#pragma once

#include <cstdint>
#include <ddpm_rt.hpp>

#include "arguments.hpp"
#include "initial_state.hpp"
#include "named_inputs.hpp"
#include "output.hpp"
#include "shard.hpp"

// What is drawn from a model.
struct Job {
  ddpm_rt_info info;
  InitialState state;
  InputValues inputs, null_inputs;
  Samples samples;  // none for a shard without samples
  Output output;
  // A picture of latents shows what the decoder makes of them; an .npy has the latents themselves.
  bool is_decoded;
  std::vector<std::size_t> shape;  // of what is written for a sample
};

// Reads the files of the command line, gives the inputs to the sampler and checks what can be
// written. Throws UsageError, std::runtime_error and ddpm_rt::Error.
Job job_of(const Arguments& asked, ddpm_rt::Sampler& sampler);

struct Outcome {
  std::uint64_t drawn = 0;
  std::uint64_t skipped = 0;  // already in the folder
  std::uint64_t damaged = 0;  // drawn again, because the file in the folder could not be read
  double seconds = 0, engine_seconds = 0;
};

// Draws the samples and writes them. A folder grows batch by batch; a file appears when it is
// complete. Throws Interrupted, std::runtime_error and ddpm_rt::Error.
Outcome draw(const Arguments& asked, ddpm_rt::Sampler& sampler, const Job& job);
