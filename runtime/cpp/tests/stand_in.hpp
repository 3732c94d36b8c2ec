// The interface of tests/support/cuda_stand_in, a stand-in for the driver. The kernels of
// ddpm_rt/kernels.cu are compiled as host code, unchanged.
#pragma once

#include <doctest/doctest.h>

#include <cstdint>
#include <string>
#include <vector>

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
  Device();
  ~Device();
  // Returns the forbidden operations so far and forgets them, so that the test does not fail.
  static std::string take_faults();
  // The names of the calls since a mark, and of the work that ran since a mark.
  static std::vector<std::string> calls(const std::string& mark);
  static std::vector<std::string> runs(const std::string& mark);
};
