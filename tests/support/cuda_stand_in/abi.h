// The part of the CUDA driver's ABI that the stand-in implements, with the sizes and names of
// cuda.h 13.
#pragma once
#include <cstddef>
#include <cstdint>

using Handle =
    std::uintptr_t;  // every opaque handle of the driver: CUstream, CUevent, CUgraph, ...
using Address = std::uintptr_t;  // CUdeviceptr

// CUresult, as int
constexpr int kSuccess = 0, kInvalidValue = 1, kOutOfMemory = 2, kNotInitialized = 3,
              kNoDevice = 100, kInvalidDevice = 101, kInvalidContext = 201, kInvalidHandle = 400,
              kIllegalState = 401, kNotFound = 500, kNotReady = 600, kIllegalAddress = 700,
              kLaunchTimeout = 702, kLaunchFailed = 719, kNotSupported = 801,
              kCaptureUnsupported = 900, kCaptureInvalidated = 901, kCaptureUnmatched = 903,
              kCaptureUnjoined = 904, kCaptureIsolation = 905, kCaptureImplicit = 906,
              kCapturedEvent = 907, kCaptureWrongThread = 908;

// of an operation that is not over: other streams may run before it goes on
constexpr int kMore = -1;

enum NodeType : int {
  kKernelNode = 0,
  kMemcpyNode = 1,
  kMemsetNode = 2,
  kHostNode = 3,
  kGraphNode = 4,
  kEmptyNode = 5,
  kConditionalNode = 13,
};

enum ConditionalType : int { kIf = 0, kWhile = 1, kSwitch = 2 };

struct LaunchConfig {  // CUlaunchConfig
  unsigned grid[3], block[3], shared_bytes;
  Handle stream;
  void* attributes;
  unsigned attribute_count;
};

struct KernelParams {  // CUDA_KERNEL_NODE_PARAMS_v3
  Handle function;
  unsigned grid[3], block[3], shared_bytes;
  void** params;
  void** extra;
  Handle kernel, context;
};

struct MemsetParams {  // CUDA_MEMSET_NODE_PARAMS_v2
  Address to;
  std::size_t pitch;
  unsigned value, element;
  std::size_t width, height;
  Handle context;
};

struct Side {  // one side of CUDA_MEMCPY3D
  std::size_t x, y, z, lod;
  int type;  // 1 host, 2 device, 3 array, 4 unified
  Address host, device;
  Handle array;
  void* reserved;
  std::size_t pitch, height;
};

struct MemcpyParams {  // CUDA_MEMCPY_NODE_PARAMS
  int flags, reserved;
  Handle context;
  Side from, to;
  std::size_t width, height, depth;
};

struct ConditionalParams {  // CUDA_CONDITIONAL_NODE_PARAMS
  std::uint64_t condition;
  int type;
  unsigned size;
  Handle* bodies;
  Handle context;
};

struct NodeParams {  // CUgraphNodeParams
  int type, reserved[3];
  union {
    long long words[29];
    KernelParams kernel;
    MemcpyParams memcpy;
    MemsetParams memset;
    Handle graph;
    ConditionalParams conditional;
  };
  long long reserved_end;
};

struct InstantiateParams {  // CUDA_GRAPH_INSTANTIATE_PARAMS
  std::uint64_t flags;
  Handle upload_stream, failed_node;
  int result;
};

struct UpdateResult {  // CUgraphExecUpdateResultInfo
  int result;
  Handle node, from;
};

static_assert(sizeof(LaunchConfig) == 56 && sizeof(NodeParams) == 256);
static_assert(sizeof(MemcpyParams) == 216 && sizeof(InstantiateParams) == 32);
