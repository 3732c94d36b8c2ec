// Values of the model's named inputs that the caller gave. runtime/ddpm_rt/requests/inputs.py is
// its counterpart.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "ddpm_rt.h"
#include "model.hpp"

namespace ddpm_rt {

// For each input of the model, in order: the bytes of a batch, [samples, ...].
using InputBytes = std::vector<std::vector<std::byte>>;

// Values of some inputs. Sample n takes entry n modulo their count.
class GivenInputs {
 public:
  explicit GivenInputs(const Model& model) : model_(&model), values_(model.inputs.size()) {}

  // Sets the value of an input from `count` numbers, which are copied: one number for all of its
  // elements, or entries. Without data the value is removed. Throws Failure unless they fit.
  void set(const std::string& name, ddpm_rt_type type, const void* data, std::size_t count);

  bool has(std::size_t input) const { return values_[input].entries != 0; }
  bool is_empty() const;

  // What samples first .. first + count - 1 take; nothing for an input without a value.
  InputBytes of_samples(std::uint64_t first, std::size_t count) const;

 private:
  struct Value {
    std::size_t entries = 0;  // 0: no value
    std::vector<std::byte> bytes = {};
  };

  const Model* model_;
  std::vector<Value> values_;  // by the inputs of the model
};

// "float32 [3, 4]".
std::string text_of(const Input& input);

}  // namespace ddpm_rt
