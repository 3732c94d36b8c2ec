// NVIDIA's CUDA driver. It is loaded when a plan is opened: a library built with DDPM_RT_CUDA also
// runs on machines without a driver. This file declares the functions that are used, so that only
// the kernels need the CUDA toolkit. tests/cuda_abi.cpp compares the declarations with cuda.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

// Declared as cuda.h does, so that a program may use both.
struct CUctx_st;
struct CUmod_st;
struct CUfunc_st;
struct CUstream_st;
struct CUevent_st;
struct CUgraph_st;
struct CUgraphNode_st;
struct CUgraphExec_st;

namespace ddpm_rt::cuda {

using Address = unsigned long long;  // CUdeviceptr
using Context = CUctx_st*;
using Module = CUmod_st*;
using Function = CUfunc_st*;
using Stream = CUstream_st*;
using Event = CUevent_st*;
using Graph = CUgraph_st*;
using GraphNode = CUgraphNode_st*;
using GraphExec = CUgraphExec_st*;

inline constexpr int SUCCESS = 0, OUT_OF_MEMORY = 2, NO_DEVICE = 100, NOT_READY = 600;  // CUresult
inline constexpr int CAPABILITY_MAJOR = 75, CAPABILITY_MINOR = 76;  // of a device
inline constexpr int MEMORY_TYPE = 2;                               // of a pointer
inline constexpr int REGISTERS = 4;                                 // of a function
inline constexpr unsigned NON_BLOCKING = 1;                         // of a stream
inline constexpr unsigned SLEEP = 1, NO_TIMING = 2;                 // of an event
inline constexpr int THREAD_LOCAL = 1;                              // of a capture
inline constexpr int CONDITIONAL_NODE = 13, WHILE_NODE = 1;         // of a graph
inline constexpr unsigned SET_AT_LAUNCH = 1;                        // of a condition
inline constexpr int CUDA_12_4 = 12040;                             // of a driver

// CUgraphNodeParams, of which only conditional nodes are used.
struct NodeParameters {
  int type, reserved[3];
  union {
    long long room[29];
    struct {
      std::uint64_t condition;
      int type;
      unsigned count;  // of the bodies, which the driver makes
      Graph* bodies;
      Context context;
    } conditional;
  };
  long long reserved_end;
};

// name here, name in the library, parameters
#define DDPM_RT_DRIVER(F)                                                                    \
  F(init, cuInit, (unsigned))                                                                \
  F(version, cuDriverGetVersion, (int*))                                                     \
  F(error_name, cuGetErrorName, (int, const char**))                                         \
  F(device_count, cuDeviceGetCount, (int*))                                                  \
  F(device, cuDeviceGet, (int*, int))                                                        \
  F(device_name, cuDeviceGetName, (char*, int, int))                                         \
  F(device_attribute, cuDeviceGetAttribute, (int*, int, int))                                \
  F(retain, cuDevicePrimaryCtxRetain, (Context*, int))                                       \
  F(release, cuDevicePrimaryCtxRelease_v2, (int))                                            \
  F(set_current, cuCtxSetCurrent, (Context))                                                 \
  F(get_current, cuCtxGetCurrent, (Context*))                                                \
  F(allocate, cuMemAlloc_v2, (Address*, std::size_t))                                        \
  F(free, cuMemFree_v2, (Address))                                                           \
  F(allocate_pinned, cuMemHostAlloc, (void**, std::size_t, unsigned))                        \
  F(free_pinned, cuMemFreeHost, (void*))                                                     \
  F(fill, cuMemsetD8Async, (Address, unsigned char, std::size_t, Stream))                    \
  F(copy, cuMemcpyAsync, (Address, Address, std::size_t, Stream))                            \
  F(copy_in, cuMemcpyHtoDAsync_v2, (Address, const void*, std::size_t, Stream))              \
  F(copy_out, cuMemcpyDtoHAsync_v2, (void*, Address, std::size_t, Stream))                   \
  F(pointer_attribute, cuPointerGetAttribute, (void*, int, Address))                         \
  F(make_stream, cuStreamCreate, (Stream*, unsigned))                                        \
  F(destroy_stream, cuStreamDestroy_v2, (Stream))                                            \
  F(synchronize, cuStreamSynchronize, (Stream))                                              \
  F(wait_event, cuStreamWaitEvent, (Stream, Event, unsigned))                                \
  F(is_capturing, cuStreamIsCapturing, (Stream, int*))                                       \
  F(begin_capture, cuStreamBeginCapture_v2, (Stream, int))                                   \
  F(end_capture, cuStreamEndCapture, (Stream, Graph*))                                       \
  F(make_event, cuEventCreate, (Event*, unsigned))                                           \
  F(destroy_event, cuEventDestroy_v2, (Event))                                               \
  F(record, cuEventRecord, (Event, Stream))                                                  \
  F(synchronize_event, cuEventSynchronize, (Event))                                          \
  F(query_event, cuEventQuery, (Event))                                                      \
  F(instantiate, cuGraphInstantiateWithFlags, (GraphExec*, Graph, unsigned long long))       \
  F(upload, cuGraphUpload, (GraphExec, Stream))                                              \
  F(launch_graph, cuGraphLaunch, (GraphExec, Stream))                                        \
  F(destroy_graph, cuGraphDestroy, (Graph))                                                  \
  F(destroy_exec, cuGraphExecDestroy, (GraphExec))                                           \
  F(load_module, cuModuleLoadData, (Module*, const void*))                                   \
  F(unload_module, cuModuleUnload, (Module))                                                 \
  F(function, cuModuleGetFunction, (Function*, Module, const char*))                         \
  F(function_attribute, cuFuncGetAttribute, (int*, int, Function))                           \
  F(launch, cuLaunchKernel,                                                                  \
    (Function, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, Stream, \
     void**, void**))

// The same for mode DDPM_RT_WHILE, which drivers have from CUDA 12.4 on.
#define DDPM_RT_DRIVER_12_4(F)                                                        \
  F(make_graph, cuGraphCreate, (Graph*, unsigned))                                    \
  F(make_condition, cuGraphConditionalHandleCreate,                                   \
    (std::uint64_t*, Graph, Context, unsigned, unsigned))                             \
  F(add_node, cuGraphAddNode_v2,                                                      \
    (GraphNode*, Graph, const GraphNode*, const void*, std::size_t, NodeParameters*)) \
  F(begin_capture_to_graph, cuStreamBeginCaptureToGraph,                              \
    (Stream, Graph, const GraphNode*, const void*, std::size_t, int))

// The functions of the driver. Pass their results to check(). Those of CUDA 12.4 are NULL in an older
// driver.
struct Driver {
#define DDPM_RT_MEMBER(name, symbol, parameters) int(*name) parameters;
  DDPM_RT_DRIVER(DDPM_RT_MEMBER)
  DDPM_RT_DRIVER_12_4(DDPM_RT_MEMBER)
#undef DDPM_RT_MEMBER

  // Throws Failure with `failure` and the name of the error, unless the result is SUCCESS.
  void check(int result, const std::string& failure) const;
};

// Throws Failure if there is no driver, or if it is older than CUDA 11.4.
std::unique_ptr<const Driver> load_driver();

}  // namespace ddpm_rt::cuda
