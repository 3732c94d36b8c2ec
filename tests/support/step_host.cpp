// Runs the unchanged kernels of ddpm_rt/kernels.cu on the host, one thread after the other, in
// shuffled order: the order of blocks, and that of the threads of a block between two
// barriers. A thread is a ucontext.
#include <ucontext.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#define __global__
#define __device__
#define __launch_bounds__(threads)
#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0

struct alignas(16) float4 {
  float x, y, z, w;
};
static float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

struct Place {
  unsigned x, y;
};
static thread_local Place gridDim, blockDim, blockIdx, threadIdx;

static unsigned atomicAdd(unsigned* at, unsigned more) {
  const unsigned before = *at;
  *at += more;
  return before;
}
static unsigned atomicCAS(unsigned* at, unsigned expected, unsigned wanted) {
  const unsigned before = *at;
  if (before == expected) *at = wanted;
  return before;
}
static void __threadfence() {}

namespace {

constexpr std::size_t STACK = 64 * 1024;

struct Thread {
  ucontext_t context;
  std::vector<char> stack = std::vector<char>(STACK);
  bool done = false;
  int says = 0;  // the thread's value at a barrier
};

struct Block {
  std::vector<Thread> threads;
  ucontext_t scheduler;
  unsigned running = 0;
  int sum = 0;  // of the threads' values at the previous barrier
  void (*kernel)(void**) = nullptr;
  void** params = nullptr;
};
thread_local Block block;
thread_local std::map<unsigned long long, unsigned> conditions;

int barrier(int says) {
  Thread& self = block.threads[block.running];
  self.says = says;
  swapcontext(&self.context, &block.scheduler);
  return block.sum;
}

void run_thread() {
  block.kernel(block.params);
  block.threads[block.running].done = true;
}

void prepare(Thread& thread) {
  getcontext(&thread.context);
  thread.context.uc_stack.ss_sp = thread.stack.data();
  thread.context.uc_stack.ss_size = thread.stack.size();
  thread.context.uc_link = &block.scheduler;
  thread.done = false;
  makecontext(&thread.context, run_thread, 0);
}

// Returns false if some threads wait at a barrier and others have ended: on a device they would
// wait for ever.
bool run_block(std::mt19937_64& random) {
  std::vector<unsigned> order(block.threads.size());
  std::iota(order.begin(), order.end(), 0U);
  for (Thread& thread : block.threads) prepare(thread);
  while (true) {
    std::shuffle(order.begin(), order.end(), random);
    for (const unsigned number : order) {
      block.running = number;
      threadIdx = {number, 0};
      swapcontext(&block.scheduler, &block.threads[number].context);
    }
    const auto done =
        std::count_if(order.begin(), order.end(), [](unsigned i) { return block.threads[i].done; });
    if (done != 0) return done == static_cast<long>(order.size());
    block.sum = 0;
    for (const Thread& thread : block.threads) block.sum += thread.says;
  }
}

}  // namespace

static void __syncthreads() { barrier(0); }
static int __syncthreads_count(int predicate) { return barrier(predicate != 0); }
static int __syncthreads_or(int predicate) { return barrier(predicate != 0) != 0; }
static void cudaGraphSetConditional(unsigned long long handle, unsigned value) {
  conditions[handle] = value;
}

#include "ddpm_rt/kernels.cu"

template <class T>
static T param(void** params, int number) {
  T value;
  std::memcpy(&value, params[number], sizeof value);
  return value;
}

#define FLAT(p)                                                                                    \
  param<float*>(p, 0), param<float*>(p, 1), param<const float*>(p, 2), param<void*>(p, 3),         \
      param<const ddpm_rt_row*>(p, 4), param<ddpm_rt_lane*>(p, 5), param<unsigned*>(p, 6),         \
      param<unsigned>(p, 7), param<unsigned>(p, 8), param<unsigned>(p, 9), param<unsigned>(p, 10), \
      param<unsigned>(p, 11), param<unsigned>(p, 12)

static const std::map<std::string, void (*)(void**)> KERNELS = {
    {"ddpm_rt_begin", [](void** p) { ddpm_rt_begin(FLAT(p)); }},
    {"ddpm_rt_resume", [](void** p) { ddpm_rt_resume(FLAT(p)); }},
    {"ddpm_rt_step", [](void** p) { ddpm_rt_step(FLAT(p)); }},
    {"ddpm_rt_step_while",
     [](void** p) { ddpm_rt_step_while(FLAT(p), param<unsigned long long>(p, 13)); }},
};

extern "C" {

// Like cuLaunchKernel: `params` points to the kernel's parameters. Returns 0, 1 for an unknown kernel,
// 2 for an invalid grid, or 3 for a barrier that some threads did not reach.
int ddpm_rt_host_launch(const char* name, void** params, unsigned grid_x, unsigned grid_y,
                        unsigned block_x, unsigned long long shuffle) {
  const auto kernel = KERNELS.find(name);
  if (kernel == KERNELS.end()) return 1;
  if (grid_x == 0 || grid_y == 0 || block_x != DDPM_RT_BLOCK) return 2;
  std::mt19937_64 random(shuffle);
  if (block.threads.empty()) block.threads = std::vector<Thread>(DDPM_RT_BLOCK);
  block.kernel = kernel->second;
  block.params = params;
  gridDim = {grid_x, grid_y};
  blockDim = {block_x, 1};
  std::vector<unsigned> order(static_cast<std::size_t>(grid_x) * grid_y);
  std::iota(order.begin(), order.end(), 0U);
  std::shuffle(order.begin(), order.end(), random);
  for (const unsigned number : order) {
    blockIdx = {number % grid_x, number / grid_x};
    if (!run_block(random)) return 3;
  }
  return 0;
}

// The last condition of the while node with this handle, or -1.
int ddpm_rt_host_condition(unsigned long long handle) {
  const auto found = conditions.find(handle);
  return found == conditions.end() ? -1 : static_cast<int>(found->second);
}

void ddpm_rt_host_normals(unsigned long long seed, unsigned long long sample, unsigned step,
                          unsigned first_quad, unsigned quads, float* out) {
  for (unsigned i = 0; i < quads; ++i)
    ddpm_rt_normal4(seed, sample, step, first_quad + i, out + 4 * std::size_t{i});
}

void ddpm_rt_host_exp(const float* x, std::size_t count, float* out) {
  for (std::size_t i = 0; i < count; ++i) out[i] = ddpm_rt_exp(x[i]);
}
}
