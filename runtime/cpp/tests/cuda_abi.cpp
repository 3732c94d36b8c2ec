// Compares the declarations in cuda_driver.hpp with cuda.h, at compile time.
#include <cuda.h>

#include <type_traits>

#include "cuda_driver.hpp"

namespace {

// Two parameters agree if both are pointers or neither is, and if they have the same size.
template <class A, class B>
constexpr bool passes_alike =
    sizeof(A) == sizeof(B) && std::is_pointer_v<A> == std::is_pointer_v<B>;

template <class Ours, class Theirs>
constexpr bool is_same = false;
template <class... Ours, class R, class... Theirs>
constexpr bool is_same<int (*)(Ours...), R (*)(Theirs...)> =
    sizeof(R) == sizeof(int) && (passes_alike<Ours, Theirs> && ...);

#define DDPM_RT_SAME(name, symbol, parameters) \
  static_assert(is_same<decltype(ddpm_rt::cuda::Driver::name), decltype(&symbol)>, #symbol);
DDPM_RT_DRIVER(DDPM_RT_SAME)
DDPM_RT_DRIVER_12_4(DDPM_RT_SAME)

static_assert(ddpm_rt::cuda::OUT_OF_MEMORY == CUDA_ERROR_OUT_OF_MEMORY);
static_assert(ddpm_rt::cuda::NO_DEVICE == CUDA_ERROR_NO_DEVICE);
static_assert(ddpm_rt::cuda::CAPABILITY_MAJOR == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
static_assert(ddpm_rt::cuda::CAPABILITY_MINOR == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
static_assert(ddpm_rt::cuda::MEMORY_TYPE == CU_POINTER_ATTRIBUTE_MEMORY_TYPE);
static_assert(ddpm_rt::cuda::NON_BLOCKING == CU_STREAM_NON_BLOCKING);
static_assert(ddpm_rt::cuda::SLEEP == CU_EVENT_BLOCKING_SYNC);
static_assert(ddpm_rt::cuda::NO_TIMING == CU_EVENT_DISABLE_TIMING);
static_assert(ddpm_rt::cuda::NOT_READY == CUDA_ERROR_NOT_READY);
static_assert(ddpm_rt::cuda::REGISTERS == CU_FUNC_ATTRIBUTE_NUM_REGS);
static_assert(ddpm_rt::cuda::CONDITIONAL_NODE == int{CU_GRAPH_NODE_TYPE_CONDITIONAL});
static_assert(ddpm_rt::cuda::WHILE_NODE == int{CU_GRAPH_COND_TYPE_WHILE});
static_assert(ddpm_rt::cuda::SET_AT_LAUNCH == CU_GRAPH_COND_ASSIGN_DEFAULT);
static_assert(ddpm_rt::cuda::THREAD_LOCAL == CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
static_assert(std::is_same_v<ddpm_rt::cuda::Stream, CUstream>);
static_assert(std::is_same_v<ddpm_rt::cuda::Address, CUdeviceptr>);

using Ours = ddpm_rt::cuda::NodeParameters;
static_assert(sizeof(Ours) == sizeof(CUgraphNodeParams));
static_assert(offsetof(Ours, conditional) == offsetof(CUgraphNodeParams, conditional));
static_assert(sizeof(Ours::conditional) == sizeof(CUgraphNodeParams::conditional));
static_assert(offsetof(Ours, conditional.bodies) ==
              offsetof(CUgraphNodeParams, conditional.phGraph_out));
static_assert(offsetof(Ours, conditional.context) == offsetof(CUgraphNodeParams, conditional.ctx));

}  // namespace
