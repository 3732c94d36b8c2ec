// One GPU: its context, and owners of the objects that are made on it.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>

#include "cuda_driver.hpp"

namespace ddpm_rt::cuda {

// A handle and the function that destroys it.
template <class Handle>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, int (*)(Handle)>;

// Device memory.
class Memory {
 public:
  Memory(const Driver& driver, std::size_t bytes);
  ~Memory() { driver_.free(address_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  Address address() const { return address_; }

 private:
  const Driver& driver_;
  Address address_ = 0;
};

// Host memory for asynchronous copies.
template <class T>
class PinnedMemory {
 public:
  PinnedMemory(const Driver& driver, std::size_t count)
      : driver_(driver), bytes_(count * sizeof(T)) {
    driver.check(driver.allocate_pinned(&data_, bytes_, 0), "pinned memory cannot be allocated");
  }
  ~PinnedMemory() { driver_.free_pinned(data_); }
  PinnedMemory(const PinnedMemory&) = delete;
  PinnedMemory& operator=(const PinnedMemory&) = delete;
  T* data() const { return static_cast<T*>(data_); }
  std::size_t bytes() const { return bytes_; }

 private:
  const Driver& driver_;
  std::size_t bytes_;
  void* data_ = nullptr;
};

// A GPU, by its primary context, which the CUDA runtime uses as well.
class Gpu {
 public:
  // Throws Failure if there is no driver or no GPU with this number.
  explicit Gpu(int number);
  ~Gpu() { driver_->release(device_); }
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  const Driver& driver() const { return *driver_; }
  const std::string& name() const { return name_; }
  int major() const { return major_; }
  int minor() const { return minor_; }

  // Throw Failure. The GPU must be current.
  Owned<Stream> stream() const;
  Owned<Event> event(unsigned flags) const;

 private:
  friend class CurrentGpu;

  std::unique_ptr<const Driver> driver_;
  int device_ = 0, major_ = 0, minor_ = 0;
  std::string name_;
  Context context_ = nullptr;
};

// Makes a GPU current in this thread while the object lives, and then restores the context of the
// caller.
class CurrentGpu {
 public:
  explicit CurrentGpu(const Gpu& gpu);
  ~CurrentGpu() { driver_.set_current(before_); }
  CurrentGpu(const CurrentGpu&) = delete;
  CurrentGpu& operator=(const CurrentGpu&) = delete;

 private:
  const Driver& driver_;
  Context before_ = nullptr;
};

}  // namespace ddpm_rt::cuda
