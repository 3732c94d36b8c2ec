// A TensorRT plan and its record, the JSON file beside it (unet.plan.json).
// runtime/ddpm_rt/artifacts/plan_record.py has the definition.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "card.hpp"
#include "fitted_tables.hpp"
#include "model_source.hpp"

namespace ddpm_rt {

struct Profile {
  std::int64_t low, best, high;  // batches: the smallest, the fastest, the largest
};

struct PlanRecord {
  Card card;
  std::string name;  // of the network in the plan
  std::int64_t bytes;
  std::string sha256;  // of the plan
  std::string flavour, version;
  std::vector<std::string> capabilities;  // of GPUs: "8.9", or "8.0+" for 8.0 and everything newer
  std::vector<Profile> profiles;
  FittedTables steps;  // the record lacks the key if there are none
};

// Throws Failure, whose message begins with `source`, for anything but a complete record of
// format 1.
PlanRecord parse_plan_record(std::string_view text, const std::string& source);

// The record of a plan. Throws Failure.
PlanRecord read_plan_record(const ModelSource& source);

// The bytes of the plan, in `file` if they had to be read. Throws Failure unless they have the size
// and the SHA-256 of the record.
std::string_view read_plan(const ModelSource& source, const PlanRecord& record, std::string& file);

// Whether the plan was built for GPUs of this compute capability.
bool fits(const PlanRecord& record, int major, int minor);

}  // namespace ddpm_rt
