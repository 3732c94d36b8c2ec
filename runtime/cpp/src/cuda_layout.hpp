// How a batch lies in a GPU's memory; runtime/ddpm_rt/device/layout.py and lanes.py once more.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda_driver.hpp"
#include "ddpm_rt/step.h"
#include "device_engine.hpp"
#include "loop.hpp"
#include "steps.hpp"

namespace ddpm_rt::cuda {

// How much of everything a chain has.
struct Layout {
  std::size_t lanes;  // samples at once
  std::size_t
      images;   // to a call of the engine: as many, or twice, or more if it has no such batch
  bool guided;  // a sample is asked for with its label and, `lanes` further, with none
  bool frames;  // somebody looks at x0 after each step
  bool operator==(const Layout&) const = default;
};

// Parts of one piece of memory, from its begin, each aligned to 256 bytes.
struct Parts {
  std::size_t x, x0, out, t, y, rows, lanes, state, scratch, all;
  bool has_x0, has_y;
};
Parts parts_of(const DeviceEngine& engine, const Layout& layout, const Steps& steps,
               std::size_t scratch_bytes);

// The parameters of every kernel, in their order.
class Arguments {
 public:
  Arguments(const DeviceEngine& engine, const Layout& layout, const Parts& parts, Address begin);
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;
  void** pointers() { return pointers_; }

 private:
  Address x_, x0_, out_, t_, rows_, lanes_, state_;
  std::uint32_t batch_, size_, out_size_, t_type_, t_count_, guided_;
  void* pointers_[13];
};

// A table as the kernels read it.
std::vector<ddpm_rt_row> rows_of(const Steps& steps);

// A sample that begins at the first of so many rows.
ddpm_rt_lane lane_of(const Samples& samples, std::size_t number, std::size_t rows, float guidance);

}  // namespace ddpm_rt::cuda
