// Where the bytes of a model are.
#pragma once

#include <string>
#include <string_view>

namespace ddpm_rt {

// A file, or bytes of the caller that are valid while the model is opened.
struct ModelSource {
  std::string name;  // the path, or "the model in memory"; begins each message
  bool in_memory = false;
  std::string_view model = {};   // only in memory
  std::string_view record = {};  // only in memory, of a plan
};

}  // namespace ddpm_rt
