// The facts of a network that cards and steps files share: shapes, and the names of its tensors.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ddpm_rt {

class JsonObject;

using Sides = std::vector<std::int64_t>;

// The product of the sides; 1 for none.
std::size_t numbers_of(const Sides& sides);

enum class InputType { FLOAT32, INT64, INT32 };
std::size_t size_of(InputType type);
const char* name_of(InputType type);  // as in a card

// An input of the network besides x, t and y: [batch, ...].
struct Input {
  std::string name;
  InputType type;
  Sides shape;       // without the batch; {} is a number for each sample
  bool is_previous;  // the x0 of the step before, which the loop gives (self-conditioning)

  std::size_t numbers() const { return numbers_of(shape); }        // of one sample
  std::size_t bytes() const { return numbers() * size_of(type); }  // of one sample
  bool operator==(const Input&) const = default;
};

struct Model {
  Sides shape;                       // [C, ...] of what the network draws, of rank 1 to 4
  std::int64_t output_channels;      // C, or 2 C with a learned variance
  std::int64_t classes, null_class;  // -1: none
  std::string x, t, y, out;          // y is "" for an unconditional model
  std::vector<Input> inputs = {};    // by name

  std::size_t image() const { return numbers_of(shape); }
  std::size_t output() const {
    return image() * static_cast<std::size_t>(output_channels / shape[0]);
  }
  Sides output_shape() const;
  // Whether the user must give inputs.
  bool has_conditions() const;
  bool operator==(const Model&) const = default;
};

// An input from the keys dtype, shape and role of `facts`. Throws Failure.
Input input_of(const JsonObject& facts, const std::string& name);

// Sorts the inputs of a model by name. Throws Failure unless each has a name that no other tensor
// has, and at most one is the previous x0, float32 of the shape of x.
void set_inputs(Model& model, std::vector<Input> inputs, const JsonObject& source);

}  // namespace ddpm_rt
