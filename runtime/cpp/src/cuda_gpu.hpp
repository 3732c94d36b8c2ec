// One GPU: its context, and what is made on it, each with an owner.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <type_traits>

#include "cuda_driver.hpp"

namespace ddpm_rt::cuda {

// Given back by the function that it was made with.
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

// Memory of the host that the GPU copies from and to while the host goes on.
template <class T>
class Pinned {
 public:
  Pinned(const Driver& driver, std::size_t count) : driver_(driver), bytes_(count * sizeof(T)) {
    driver.check(driver.allocate_pinned(&data_, bytes_, 0), "no pinned memory");
  }
  ~Pinned() { driver_.free_pinned(data_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;
  T* data() const { return static_cast<T*>(data_); }
  std::size_t bytes() const { return bytes_; }

 private:
  const Driver& driver_;
  std::size_t bytes_;
  void* data_ = nullptr;
};

// A GPU, through the context that the CUDA runtime uses too.
class Gpu {
 public:
  // Throws Failure when there is no driver or no such GPU.
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
  friend class Current;

  std::unique_ptr<const Driver> driver_;
  int device_ = 0, major_ = 0, minor_ = 0;
  std::string name_;
  Context context_ = nullptr;
};

// Makes a GPU the thread's as long as it lives, and then the one before again: the caller may have
// one of its own.
class Current {
 public:
  explicit Current(const Gpu& gpu);
  ~Current() { driver_.set_current(before_); }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;

 private:
  const Driver& driver_;
  Context before_ = nullptr;
};

}  // namespace ddpm_rt::cuda
