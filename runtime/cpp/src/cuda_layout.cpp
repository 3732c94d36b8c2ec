#include "cuda_layout.hpp"

#include <algorithm>
#include <limits>

namespace ddpm_rt::cuda {
namespace {

constexpr std::size_t STATE = 4;  // numbers in `state` of kernels.cu

std::size_t size_of(TimeType type) { return type == TimeType::INT64 ? 8 : 4; }

std::size_t times_of(const DeviceEngine& engine, std::size_t images) {
  return engine.one_time() ? 1 : images;
}

}  // namespace

Parts parts_of(const DeviceEngine& engine, const Layout& layout, const StepsFile& steps,
               std::size_t scratch_bytes) {
  const Model& model = steps.model;
  Parts parts = {};
  const auto take = [&](std::size_t bytes) {
    const std::size_t begin = parts.all;
    parts.all += (bytes + 255) / 256 * 256;
    return begin;
  };
  const bool history = std::any_of(steps.rows.begin(), steps.rows.end(),
                                   [](const Row& row) { return row.mean_from_prev_x0 != 0; });
  const bool conditioned = std::any_of(model.inputs.begin(), model.inputs.end(),
                                       [](const Input& input) { return input.is_previous; });
  parts.has_x0 = history || layout.frames || conditioned;
  parts.has_y = model.classes >= 0;
  parts.x = take(layout.images * model.image() * sizeof(float));
  // the network reads x0 of all images
  const std::size_t x0s = layout.guided || conditioned ? layout.images : layout.lanes;
  parts.x0 = take(parts.has_x0 ? x0s * model.image() * sizeof(float) : 0);
  parts.out = take(layout.images * model.output() * sizeof(float));
  parts.t = take(times_of(engine, layout.images) * size_of(engine.time_type()));
  parts.y = take(parts.has_y ? layout.images * sizeof(std::int64_t) : 0);
  parts.rows = take(steps.rows.size() * sizeof(ddpm_rt_row));
  parts.lanes = take(layout.lanes * sizeof(ddpm_rt_lane));
  parts.state = take(STATE * sizeof(std::uint32_t));
  parts.scratch = take(scratch_bytes);
  for (const Input& input : model.inputs)
    parts.inputs.push_back(input.is_previous ? parts.x0 : take(layout.images * input.bytes()));
  return parts;
}

KernelArguments::KernelArguments(const DeviceEngine& engine, const Layout& layout,
                                 const Parts& parts, Address begin)
    : x_(begin + parts.x),
      x0_(parts.has_x0 ? begin + parts.x0 : 0),
      out_(begin + parts.out),
      t_(begin + parts.t),
      rows_(begin + parts.rows),
      lanes_(begin + parts.lanes),
      state_(begin + parts.state),
      batch_(static_cast<std::uint32_t>(layout.lanes)),
      size_(static_cast<std::uint32_t>(engine.card().model.image())),
      out_size_(static_cast<std::uint32_t>(engine.card().model.output())),
      t_type_(static_cast<std::uint32_t>(engine.time_type())),
      t_count_(static_cast<std::uint32_t>(
          times_of(engine, layout.guided ? 2 * layout.lanes : layout.lanes))),
      guided_(layout.guided ? 1 : 0),
      pointers_{&x_,     &x0_,   &out_,      &t_,      &rows_,    &lanes_,  &state_,
                &batch_, &size_, &out_size_, &t_type_, &t_count_, &guided_, &condition_} {}

std::vector<ddpm_rt_row> rows_of(const StepsFile& steps) {
  constexpr float NONE = std::numeric_limits<float>::infinity();
  std::vector<ddpm_rt_row> rows;
  rows.reserve(steps.rows.size());
  for (const Row& row : steps.rows)
    rows.push_back({row.x0_from_x, row.x0_from_out, row.mean_from_x0, row.mean_from_x,
                    row.mean_from_out, row.mean_from_prev_x0, row.sigma, row.log_sigma_from_spread,
                    steps.clip ? steps.clip->first : -NONE, steps.clip ? steps.clip->second : NONE,
                    row.t});
  return rows;
}

ddpm_rt_lane lane_of(const Samples& samples, std::size_t number, const StepsFile& steps,
                     float guidance) {
  ddpm_rt_lane lane = {};
  lane.seed = samples.seed;
  lane.sample = samples.first + number;
  lane.end = static_cast<ddpm_rt_u32>(steps.rows.size());
  lane.not_finite = DDPM_RT_FINITE;
  lane.guidance = guidance;
  lane.initial_scale = steps.initial_scale;
  return lane;
}

}  // namespace ddpm_rt::cuda
