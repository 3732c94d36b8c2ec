// The images that the loop on the host draws with the toy network, from the models of
// scripts/cpp_files.py.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "edit.hpp"
#include "host_loop.hpp"
#include "library.hpp"
#include "plan_record.hpp"
#include "toy.hpp"

inline constexpr std::size_t TOY_SIZE = 24;  // of an image of toy.plan

class ToyCall final : public ddpm_rt::Call {
 public:
  ToyCall(const ddpm_rt::Buffers& buffers, const ddpm_rt::Model& model)
      : buffers_(buffers), model_(model) {}
  void run() override {
    for (std::size_t image = 0; image < buffers_.batch; ++image) {
      float* const out = buffers_.out + image * model_.output();
      toy(buffers_.x + image * model_.image(), static_cast<float>(buffers_.t[image]),
          buffers_.y == nullptr ? 0 : buffers_.y[image], model_.image(), model_.output(), out);
      for (std::size_t i = 0; i < model_.inputs.size(); ++i) add_input(i, image, out);
    }
  }

 private:
  void add_input(std::size_t i, std::size_t image, float* out) const {
    const ddpm_rt::Input& input = model_.inputs[i];
    const std::size_t numbers = input.numbers(), size = model_.image();
    const std::byte* const entry = buffers_.inputs[i] + image * input.bytes();
    if (input.type == ddpm_rt::InputType::INT64)
      return toy_input(reinterpret_cast<const std::int64_t*>(entry), numbers, size, out);
    if (input.type == ddpm_rt::InputType::INT32)
      return toy_input(reinterpret_cast<const std::int32_t*>(entry), numbers, size, out);
    toy_input(reinterpret_cast<const float*>(entry), numbers, size, out);
  }

  const ddpm_rt::Buffers buffers_;
  const ddpm_rt::Model& model_;
};

class ToyEngine final : public ddpm_rt::Engine {
 public:
  explicit ToyEngine(const ddpm_rt::Card& card) : card_(card) {}
  const ddpm_rt::Card& card() const override { return card_; }
  bool whole_times() const override { return false; }
  std::unique_ptr<ddpm_rt::Call> bind(const ddpm_rt::Buffers& buffers) override {
    return std::make_unique<ToyCall>(buffers, card_.model);
  }

 private:
  const ddpm_rt::Card card_;
};

using Values = std::vector<std::pair<std::string, std::vector<double>>>;  // of named inputs

inline ddpm_rt::InputBytes bytes_of(const ddpm_rt::Model& model, const Values& values,
                                    const ddpm_rt::Options& asked) {
  ddpm_rt::GivenInputs given(model);
  for (const auto& [name, numbers] : values)
    given.set(name, DDPM_RT_FLOAT64, numbers.data(), numbers.size());
  return given.of_samples(asked.first, asked.count);
}

// The images of the host loop with the same network. Appends x0 of every step to `x0`.
inline std::vector<float> on_host(const std::string& plan, const std::string& steps_file,
                                  const ddpm_rt::Options& asked,
                                  std::vector<std::vector<float>>* x0 = nullptr,
                                  const Values& inputs = {}, const Values& null_inputs = {}) {
  const auto steps = ddpm_rt::read_steps(file(steps_file));
  ToyEngine engine(ddpm_rt::read_plan_record({.name = file(plan)}).card);
  ddpm_rt::Conditions conditions = {{}, static_cast<float>(asked.guidance)};
  for (std::size_t n = 0; n < asked.count && !asked.labels.empty(); ++n)
    conditions.classes.push_back(asked.labels[(asked.first + n) % asked.labels.size()]);
  conditions.inputs = bytes_of(steps.model, inputs, asked);
  conditions.null_inputs = bytes_of(steps.model, null_inputs, asked);
  ddpm_rt::HostLoop loop(engine, steps, {asked.seed, asked.first, asked.count}, conditions);
  ddpm_rt_sample_options options = DDPM_RT_SAMPLE_OPTIONS;
  options.first = asked.first;
  options.count = asked.count;
  options.strength = asked.strength;
  options.init_images = asked.init_images.empty() ? nullptr : asked.init_images.data();
  options.init_count = asked.init_images.size() / steps.model.image();
  options.init_noise = asked.init_noise.empty() ? nullptr : asked.init_noise.data();
  std::optional<ddpm_rt::Edit> edit;
  if (ddpm_rt::Edit::is_asked(options)) edit.emplace(options, steps, engine.card());
  loop.start(edit ? &*edit : nullptr);
  while (loop.row() < steps.rows.size()) {
    loop.step();
    if (x0 != nullptr) x0->push_back(loop.x0());
  }
  return {loop.x().begin(),
          loop.x().begin() + static_cast<std::ptrdiff_t>(asked.count * steps.model.image())};
}
