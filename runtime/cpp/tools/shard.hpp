// One of several equal parts of the samples, for one of several machines.
// runtime/ddpm_rt/requests/shard.py is the counterpart.
#pragma once

#include <cstdint>
#include <string>

struct Samples {
  std::uint64_t first, count;
};

// Part `number` of `parts`, from 0.
struct Shard {
  std::uint64_t number, parts;
};

// Reads I/N. Throws UsageError unless there is such a part.
Shard shard_of(const std::string& word);

std::string text_of(const Shard& shard);

// The samples of a shard: whole batches, side by side. None where there are more shards than
// batches.
Samples part_of(const Samples& whole, std::uint64_t batch, const Shard& shard);
