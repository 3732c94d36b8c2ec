#include "fitted_tables.hpp"

#include "error.hpp"

namespace ddpm_rt {

StepsFile longest(const FittedTables& tables, const std::string& model) {
  if (tables.empty())
    bad_file(model +
             " contains no fitted table; pass a steps file, or run `ddpm-rt tune` with --embed");
  const auto& [calls, text] = *tables.rbegin();
  const std::string name = "the fitted table of " + std::to_string(calls) + " calls in " + model;
  StepsFile found = parse_steps(text, name);
  if (static_cast<std::int64_t>(found.rows.size()) != calls)
    bad_file(name + " has " + std::to_string(found.rows.size()) + " rows; embed it again");
  return found;
}

}  // namespace ddpm_rt
