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

constexpr std::size_t PLAN_MAGIC_BYTES = 4;

// Whether a file that begins with these bytes is one of TensorRT: "ftrt", or "vtrt" of TensorRT-RTX.
inline bool begins_as_plan(std::string_view bytes) {
  return bytes.size() >= PLAN_MAGIC_BYTES && bytes.substr(1, PLAN_MAGIC_BYTES - 1) == "trt";
}

}  // namespace ddpm_rt
