// The interface of tests/support/cuda_stand_in, a stand-in for the driver. The kernels of
// ddpm_rt/kernels.cu are compiled as host code, unchanged.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "ddpm_rt.hpp"

extern "C" {
void stand_in_reset();
const char* stand_in_faults();
const char* stand_in_live();
const char* stand_in_records();
void stand_in_forgive();
void stand_in_mark(const char* name);
void stand_in_fail(const char* name, int error, unsigned nth, unsigned times);
int stand_in_register(const char* name, const char* format,
                      void (*run)(void**, unsigned, unsigned, unsigned, unsigned, unsigned,
                                  unsigned),
                      void (*extents)(void**, std::uint64_t*));
struct StandInSettings {  // as in world.h
  int devices, major, minor, version, eager;
  std::size_t memory;
};
StandInSettings* stand_in_settings();
void cudaGraphSetConditional(unsigned long long condition, unsigned value);

int cuInit(unsigned);
int cuCtxSetCurrent(void*);
int cuCtxGetCurrent(void**);
int cuDevicePrimaryCtxRetain(void**, int);
int cuMemAlloc_v2(std::uint64_t*, std::size_t);
int cuMemFree_v2(std::uint64_t);
int cuMemsetD8Async(std::uint64_t, unsigned char, std::size_t, void*);
int cuMemcpyDtoHAsync_v2(void*, std::uint64_t, std::size_t, void*);
int cuStreamCreate(void**, unsigned);
int cuStreamDestroy_v2(void*);
int cuStreamSynchronize(void*);
int cuStreamBeginCapture_v2(void*, int);
int cuStreamEndCapture(void*, void**);
int cuGraphDestroy(void*);
}

// A device for one test. Its destructor checks that nothing is left on it, and that nothing was
// done that a real device forbids.
class Device {
 public:
  explicit Device(int nvcc = 13000);  // the version that compiled the kernels
  ~Device();
  // Returns the forbidden operations so far and forgets them, so that the test does not fail.
  static std::string take_faults();
  // The names of the calls since a mark, and of the work that ran since a mark.
  static std::vector<std::string> calls(const std::string& mark);
  static std::vector<std::string> runs(const std::string& mark);
};

// A caller that uses the driver, with memory and a stream of its own.
class Caller {
 public:
  explicit Caller(std::size_t floats) : floats_(floats) {
    cuInit(0);
    void* context = nullptr;
    cuDevicePrimaryCtxRetain(&context, 0);
    cuCtxSetCurrent(context);
    cuStreamCreate(&stream_, 1);
    cuMemAlloc_v2(&address_, floats * sizeof(float));
  }
  ~Caller() {
    cuStreamSynchronize(stream_);
    cuMemFree_v2(address_);
    cuStreamDestroy_v2(stream_);
    cuCtxSetCurrent(nullptr);
  }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;

  void* stream() const { return stream_; }
  float* memory() const { return reinterpret_cast<float*>(address_); }
  // Queued after the work that is in the stream.
  void fill(unsigned char byte) {
    cuMemsetD8Async(address_, byte, floats_ * sizeof(float), stream_);
  }
  std::vector<float> read() const {
    std::vector<float> images(floats_);
    cuMemcpyDtoHAsync_v2(images.data(), address_, floats_ * sizeof(float), stream_);
    cuStreamSynchronize(stream_);
    return images;
  }

 private:
  std::size_t floats_;
  void* stream_ = nullptr;
  std::uint64_t address_ = 0;
};

inline ddpm_rt_status status_of(const std::function<void()>& call,
                                std::string* sentence = nullptr) {
  try {
    call();
    return DDPM_RT_OK;
  } catch (const ddpm_rt::Error& error) {
    if (sentence != nullptr) *sentence = error.what();
    return error.status();
  }
}

// A call of the driver that fails once, the `nth` time, and what the library says then.
struct Failure {
  const char* call;
  int error;
  unsigned nth;
  const char* says;
};

// Checks that `draw` fails with that status and sentence.
inline void check_failure(const Failure& failure, const std::function<void()>& draw) {
  stand_in_fail(failure.call, failure.error, failure.nth, 1);
  std::string sentence;
  CHECK(status_of(draw, &sentence) == DDPM_RT_ENGINE_FAILED);
  CHECK_MESSAGE(sentence.find(failure.says) != sentence.npos, sentence);
}

inline std::string refusal(const std::function<void()>& call) {
  std::string sentence;
  status_of(call, &sentence);
  return sentence;
}

inline bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

inline std::size_t count(const std::vector<std::string>& names, const std::string& name) {
  return static_cast<std::size_t>(std::count(names.begin(), names.end(), name));
}
