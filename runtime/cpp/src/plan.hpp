// The record beside a TensorRT plan, unet.plan.json: its card, and what the plan was built for.
// runtime/ddpm_rt/plan.py is the definition.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "card.hpp"

namespace ddpm_rt {

struct Profile {
  std::int64_t low, best, high;  // batches: the smallest, the one it is fastest at, the largest
};

struct PlanRecord {
  Card card;
  std::string name;  // of the network inside the plan
  std::int64_t bytes;
  std::string sha256;  // of the plan
  std::string flavour, version;
  std::vector<std::string> capabilities;  // of GPUs: 8.9, or 8.0+ for that and everything newer
  std::vector<Profile> profiles;
};

// Throws Failure, which begins with `source`, for anything but a whole record of format 1.
PlanRecord parse_plan_record(std::string_view text, const std::string& source);

// A plan's bytes, and its record, which is about these bytes. Throws Failure.
struct Plan {
  std::string bytes;
  PlanRecord record;
};
Plan read_plan(const std::string& path);

// Whether a GPU of this compute capability is among those that the plan is for.
bool fits(const PlanRecord& record, int major, int minor);

}  // namespace ddpm_rt
