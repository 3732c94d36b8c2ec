#include "model.hpp"

#include <algorithm>
#include <numeric>
#include <set>

#include "json_object.hpp"
#include "limits.hpp"
#include "one_line.hpp"

namespace ddpm_rt {
namespace {

constexpr const char* TYPES[] = {"float32", "int64", "int32"};  // in the order of InputType
constexpr const char* ROLES[] = {"condition", "prev_x0"};

}  // namespace

std::size_t numbers_of(const Sides& sides) {
  return std::accumulate(
      sides.begin(), sides.end(), std::size_t{1},
      [](std::size_t product, auto side) { return product * static_cast<std::size_t>(side); });
}

std::size_t size_of(InputType type) { return type == InputType::INT64 ? 8 : 4; }

const char* name_of(InputType type) { return TYPES[static_cast<int>(type)]; }

Sides Model::output_shape() const {
  Sides sides = shape;
  sides[0] = output_channels;
  return sides;
}

bool Model::has_conditions() const {
  return std::any_of(inputs.begin(), inputs.end(),
                     [](const Input& input) { return !input.is_previous; });
}

Input input_of(const JsonObject& facts, const std::string& name) {
  const auto type = facts.word("dtype", TYPES);
  const auto* const found = std::find(std::begin(TYPES), std::end(TYPES), type);
  return {name, static_cast<InputType>(found - TYPES), facts.shape("shape", 0, MAX_INPUT_RANK),
          facts.word("role", ROLES) == ROLES[1]};
}

void set_inputs(Model& model, std::vector<Input> inputs, const JsonObject& source) {
  if (inputs.size() > MAX_INPUTS)
    source.fail("inputs must be at most " + std::to_string(MAX_INPUTS));
  std::set<std::string> taken = {model.x, model.t, model.out};
  if (!model.y.empty()) taken.insert(model.y);
  bool has_previous = false;
  for (const Input& input : inputs) {
    if (input.name.empty() || characters_of(input.name) > MAX_NAME_CHARACTERS ||
        input.name.find('\0') != std::string::npos || !taken.insert(input.name).second)
      source.fail("inputs must have names that no other tensor has");
    if (!input.is_previous) continue;
    if (has_previous) source.fail("at most one of the inputs may have the role prev_x0");
    if (input.type != InputType::FLOAT32 || input.shape != model.shape)
      source.fail("the input of the role prev_x0 must be float32 of the shape of x");
    has_previous = true;
  }
  std::sort(inputs.begin(), inputs.end(),
            [](const Input& a, const Input& b) { return a.name < b.name; });
  model.inputs = std::move(inputs);
}

}  // namespace ddpm_rt
