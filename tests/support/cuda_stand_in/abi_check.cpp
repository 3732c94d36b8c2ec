// Compiled if cuda.h 13 is installed: checks that the structures of abi.h equal the driver's.
#include <cuda.h>

#include "abi.h"

#define SAME_SIZE(ours, theirs) static_assert(sizeof(ours) == sizeof(theirs))
#define SAME_PLACE(ours, member, theirs, their_member) \
  static_assert(offsetof(ours, member) == offsetof(theirs, their_member))

SAME_SIZE(LaunchConfig, CUlaunchConfig);
SAME_PLACE(LaunchConfig, block, CUlaunchConfig, blockDimX);
SAME_PLACE(LaunchConfig, stream, CUlaunchConfig, hStream);
SAME_SIZE(KernelParams, CUDA_KERNEL_NODE_PARAMS_v3);
SAME_PLACE(KernelParams, params, CUDA_KERNEL_NODE_PARAMS_v3, kernelParams);
SAME_PLACE(KernelParams, kernel, CUDA_KERNEL_NODE_PARAMS_v3, kern);
SAME_SIZE(MemsetParams, CUDA_MEMSET_NODE_PARAMS_v2);
SAME_PLACE(MemsetParams, element, CUDA_MEMSET_NODE_PARAMS_v2, elementSize);
SAME_PLACE(MemsetParams, width, CUDA_MEMSET_NODE_PARAMS_v2, width);
SAME_SIZE(MemcpyParams, CUDA_MEMCPY_NODE_PARAMS);
SAME_PLACE(MemcpyParams, from.device, CUDA_MEMCPY_NODE_PARAMS, copyParams.srcDevice);
SAME_PLACE(MemcpyParams, to.x, CUDA_MEMCPY_NODE_PARAMS, copyParams.dstXInBytes);
SAME_PLACE(MemcpyParams, to.host, CUDA_MEMCPY_NODE_PARAMS, copyParams.dstHost);
SAME_PLACE(MemcpyParams, width, CUDA_MEMCPY_NODE_PARAMS, copyParams.WidthInBytes);
SAME_SIZE(ConditionalParams, CUDA_CONDITIONAL_NODE_PARAMS);
SAME_PLACE(ConditionalParams, bodies, CUDA_CONDITIONAL_NODE_PARAMS, phGraph_out);
SAME_SIZE(NodeParams, CUgraphNodeParams);
SAME_PLACE(NodeParams, kernel, CUgraphNodeParams, kernel);
SAME_SIZE(InstantiateParams, CUDA_GRAPH_INSTANTIATE_PARAMS);
SAME_PLACE(InstantiateParams, result, CUDA_GRAPH_INSTANTIATE_PARAMS, result_out);
SAME_SIZE(UpdateResult, CUgraphExecUpdateResultInfo);
static_assert(kCaptureUnsupported == CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED &&
              kCapturedEvent == CUDA_ERROR_CAPTURED_EVENT);
static_assert(kCaptureWrongThread == CUDA_ERROR_STREAM_CAPTURE_WRONG_THREAD &&
              kIllegalState == CUDA_ERROR_ILLEGAL_STATE);
static_assert(kLaunchTimeout == CUDA_ERROR_LAUNCH_TIMEOUT && kNotReady == CUDA_ERROR_NOT_READY);
static_assert(int{kConditionalNode} == int{CU_GRAPH_NODE_TYPE_CONDITIONAL} &&
              int{kEmptyNode} == int{CU_GRAPH_NODE_TYPE_EMPTY});
static_assert(int{kWhile} == int{CU_GRAPH_COND_TYPE_WHILE});
