// The layout of a batch in the memory of a GPU. runtime/ddpm_rt/device/layout.py and lanes.py are
// its counterparts.
#pragma once

#include <cstdint>
#include <vector>

#include "cuda_driver.hpp"
#include "ddpm_rt/step.h"
#include "device_engine.hpp"
#include "host_loop.hpp"
#include "steps_file.hpp"

namespace ddpm_rt::cuda {

// The sizes of a chain.
struct Layout {
  std::size_t lanes;   // samples of the chain
  std::size_t images;  // per call of the engine: at least lanes, or 2 * lanes with guidance
  bool guided;         // image i has the label of sample i, image lanes + i the null class
  bool frames;         // x0 is copied to the host after each step
  bool operator==(const Layout&) const = default;
};

// Offsets of the parts of one allocation, each aligned to 256 bytes, and its size `all`.
struct Parts {
  std::size_t x, x0, out, t, y, rows, lanes, state, scratch, all;
  bool has_x0, has_y;
  std::vector<std::size_t> inputs;  // by the inputs of the model; that of the previous x0 is x0

  std::size_t stop() const { return state + sizeof(std::uint32_t); }  // state[STOP] of kernels.cu
};
Parts parts_of(const DeviceEngine& engine, const Layout& layout, const StepsFile& steps,
               std::size_t scratch_bytes);

// The parameters of every kernel, in order.
class KernelArguments {
 public:
  KernelArguments(const DeviceEngine& engine, const Layout& layout, const Parts& parts,
                  Address begin);
  KernelArguments(const KernelArguments&) = delete;
  KernelArguments& operator=(const KernelArguments&) = delete;
  void** pointers() { return pointers_; }
  std::uint64_t& condition() { return condition_; }  // the last one, of ddpm_rt_step_while alone

 private:
  Address x_, x0_, out_, t_, rows_, lanes_, state_;
  std::uint32_t batch_, size_, out_size_, t_type_, t_count_, guided_;
  std::uint64_t condition_ = 0;
  void* pointers_[14];
};

// The step table in the form of the kernels.
std::vector<ddpm_rt_row> rows_of(const StepsFile& steps);

// The lane of sample `number` of the batch, at the first row.
ddpm_rt_lane lane_of(const Samples& samples, std::size_t number, const StepsFile& steps,
                     float guidance);

}  // namespace ddpm_rt::cuda
