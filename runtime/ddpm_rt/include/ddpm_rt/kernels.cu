/* The reverse chain on the device. x, x0 and the time of the network never leave the device, and
 * the host does nothing between two rows. NVRTC and nvcc compile this file; tests/ compiles it as
 * host code.
 *
 * All kernels have the same parameters and run in blocks of 256 threads on a grid of
 * (ceil(ceil(size / 4) / 256), batch, 1). One thread handles one quad: four elements of one lane,
 * because one call of Philox makes four normals. The lanes are independent: each has its own row,
 * table and seed.
 */
#ifdef __NVCC__
/* nvcc does not know the GCC pragmas of the headers; its host compiler does */
#pragma nv_diag_suppress 1675
#endif
#include "step.h"

#define DDPM_RT_BLOCK 256
#define DDPM_RT_KERNEL extern "C" __global__ void __launch_bounds__(DDPM_RT_BLOCK)

// clang-format off
/* The parameters of every kernel, in this order. A guided batch has 2 * batch images: all lanes
 * with their labels, then all lanes without. Any other batch has one image per lane.
 *
 *     x         [images, size]
 *     x0        of the previous row, then of this row, [batch, size]; [images, size] in a guided
 *               batch; NULL if no table, no preview and no self-conditioning needs it
 *     out       [images, out_size]: the output of the network; out_size is size, or 2 * size if
 *               the spread follows
 *     t         [t_count]: the next time for the network; t_count is the number of images, or 1,
 *               and then the time of lane 0 holds for all; t_type is 0: int64, 1: int32, 2: float32
 *     rows      the rows of all tables, one table after the other
 *     lanes     [batch]
 *     state     [4], see below
 */
#define DDPM_RT_PARAMETERS                                                                         \
  float *x, float *x0, const float *out, void *t, const ddpm_rt_row *rows, ddpm_rt_lane *lanes,    \
  ddpm_rt_u32 *state, ddpm_rt_u32 batch, ddpm_rt_u32 size, ddpm_rt_u32 out_size,                   \
  ddpm_rt_u32 t_type, ddpm_rt_u32 t_count, ddpm_rt_u32 guided
#define DDPM_RT_ARGUMENTS \
  {x, x0, out, t, rows, lanes, state, batch, size, out_size, t_type, t_count, guided}
// clang-format on

/* state[0] counts blocks, and is 0 between launches. The host sets state[1] to end a while graph
 * after the current row. state[2] is the number of lanes that are not done. */
enum { TICKET = 0, STOP = 1, RUNNING = 2 };

struct Chain {
  float *x, *x0;
  const float* out;
  void* t;
  const ddpm_rt_row* rows;
  ddpm_rt_lane* lanes;
  ddpm_rt_u32* state;
  ddpm_rt_u32 batch, size, out_size, t_type, t_count, guided;
};

/* Four elements of an image. The last quad has fewer if the size is not a multiple of four. */
struct Quad {
  ddpm_rt_u32 number, count;
  size_t lane;
  bool whole; /* 16-byte loads are aligned, because every image begins at such an address */
};

static __device__ bool quad_of_thread(const Chain& chain, Quad& quad) {
  quad.number = blockIdx.x * blockDim.x + threadIdx.x;
  quad.lane = blockIdx.y;
  const ddpm_rt_u32 quads = chain.size / 4 + (chain.size % 4 != 0);
  if (quad.number >= quads) return false;
  const ddpm_rt_u32 left = chain.size - 4 * quad.number;
  quad.count = left < 4 ? left : 4;
  quad.whole = chain.size % 4 == 0 &&
               ((size_t)chain.x | (size_t)chain.x0 | (size_t)chain.out) % sizeof(float4) == 0;
  return true;
}

/* Elements beyond the image are 0, which is finite. */
static __device__ void load(const float* from, const Quad& quad, float to[4]) {
  from += 4 * (size_t)quad.number;
  if (quad.whole) {
    const float4 four = *(const float4*)from;
    to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
  } else {
    for (ddpm_rt_u32 i = 0; i < 4; ++i) to[i] = i < quad.count ? from[i] : 0.0f;
  }
}

static __device__ void store(const float from[4], const Quad& quad, float* to) {
  to += 4 * (size_t)quad.number;
  if (quad.whole) {
    *(float4*)to = make_float4(from[0], from[1], from[2], from[3]);
  } else {
    for (ddpm_rt_u32 i = 0; i < 4; ++i)
      if (i < quad.count) to[i] = from[i];
  }
}

/* A guided lane has two images; x goes to both. */
static __device__ void store_x(const Chain& chain, const Quad& quad, const float x[4]) {
  store(x, quad, chain.x + quad.lane * chain.size);
  if (chain.guided) store(x, quad, chain.x + (chain.batch + quad.lane) * chain.size);
}

static __device__ void store_x0(const Chain& chain, const Quad& quad, const float x0[4]) {
  if (!chain.x0) return;
  store(x0, quad, chain.x0 + quad.lane * chain.size);
  if (chain.guided) store(x0, quad, chain.x0 + (chain.batch + quad.lane) * chain.size);
}

/* Loads the output for a quad and applies guidance. Returns whether any value is not finite. */
static __device__ bool load_output(const Chain& chain, const Quad& quad, float out[4],
                                   float spread[4]) {
  const float* const labelled = chain.out + quad.lane * chain.out_size;
  load(labelled, quad, out);
  if (chain.guided) {
    float null[4];
    load(chain.out + (chain.batch + quad.lane) * chain.out_size, quad, null);
    const float guidance = chain.lanes[quad.lane].guidance;
    for (int i = 0; i < 4; ++i) out[i] = ddpm_rt_guide(out[i], null[i], guidance);
  }
  bool wrong = false;
  for (int i = 0; i < 4; ++i) wrong |= ddpm_rt_not_finite(out[i]);
  if (chain.out_size == chain.size) return wrong;
  load(labelled + chain.size, quad, spread);
  for (int i = 0; i < 4; ++i) wrong |= ddpm_rt_not_finite(spread[i]);
  return wrong;
}

/* Applies one row to the quad of this thread, unless its lane is done. */
static __device__ void step_quad(const Chain& chain) {
  Quad quad;
  if (!quad_of_thread(chain, quad)) return;
  ddpm_rt_lane* const lane = chain.lanes + quad.lane;
  float x[4], x0[4] = {0, 0, 0, 0}, out[4], spread[4] = {0, 0, 0, 0};
  load(chain.x + quad.lane * chain.size, quad, x); /* first, because loads take long */
  const bool wrong = load_output(chain, quad, out, spread);
  const ddpm_rt_u32 number = lane->row;
  if (number >= lane->end) return;
  const ddpm_rt_row row = chain.rows[lane->table + number];
  if (row.mean_from_prev_x0 != 0 && chain.x0) load(chain.x0 + quad.lane * chain.size, quad, x0);
  if (wrong) atomicCAS(&lane->not_finite, DDPM_RT_FINITE, number);
  ddpm_rt_update4(&row, out, x, x0);
  if (row.sigma != 0) {
    float z[4];
    ddpm_rt_normal4(lane->seed, lane->sample, number, quad.number, z);
    ddpm_rt_add_noise4(&row, spread, z, x);
  }
  store_x(chain, quad, x);
  store_x0(chain, quad, x0);
}

/* Whether this block is the last of its grid to arrive here; equal in all threads of the block. The
 * last block sees all writes of the other blocks: each write is before the first barrier, the
 * barrier before the fence of thread 0, the fence before its ticket, and the last ticket before the
 * fence and the barrier of the last block. */
static __device__ bool last_block(const Chain& chain) {
  __syncthreads();
  bool last = false;
  if (threadIdx.x == 0) {
    __threadfence();
    const ddpm_rt_u32 blocks = gridDim.x * gridDim.y;
    last = atomicAdd(chain.state + TICKET, 1u) == blocks - 1;
    __threadfence();
    if (last) chain.state[TICKET] = 0;
  }
  return __syncthreads_or(last) != 0;
}

static __device__ void tell(const Chain& chain, size_t image, double t) {
  if (chain.t_type == 0) ((long long*)chain.t)[image] = (long long)t;
  if (chain.t_type == 1) ((int*)chain.t)[image] = (int)t;
  if (chain.t_type == 2) ((float*)chain.t)[image] = (float)t;
}

/* Sets the time for the next row of a lane. Returns whether there is a next row. */
static __device__ bool tell_next(const Chain& chain, ddpm_rt_u32 number) {
  const ddpm_rt_lane* const lane = chain.lanes + number;
  if (lane->row >= lane->end) return false;
  const double t = chain.rows[lane->table + lane->row].t;
  if (chain.t_count != 1) {
    tell(chain, number, t);
    if (chain.guided) tell(chain, (size_t)chain.batch + number, t);
  } else if (number == 0) {
    tell(chain, 0, t);
  }
  return true;
}

/* Run by one block when all quads are finished: advances the lanes that are not done by `rows`,
 * which is 0 or 1. Returns whether the chain continues with another row. */
static __device__ bool advance(const Chain& chain, ddpm_rt_u32 rows) {
  ddpm_rt_u32 running = 0;
  bool broken = false;
  for (ddpm_rt_u32 first = 0; first < chain.batch; first += DDPM_RT_BLOCK) {
    const ddpm_rt_u32 number = first + threadIdx.x;
    bool runs = false, finite = true;
    if (number < chain.batch) {
      ddpm_rt_lane* const lane = chain.lanes + number;
      if (lane->row < lane->end) lane->row += rows;
      runs = tell_next(chain, number);
      finite = *(volatile ddpm_rt_u32*)&lane->not_finite == DDPM_RT_FINITE;
    }
    running += __syncthreads_count(runs);
    broken |= __syncthreads_or(!finite) != 0;
  }
  if (threadIdx.x == 0) chain.state[RUNNING] = running;
  return running != 0 && !broken && *(volatile ddpm_rt_u32*)(chain.state + STOP) == 0;
}

/* Sets x to the noise x_T and x0 to 0 for every lane, and the time for its next row. */
DDPM_RT_KERNEL ddpm_rt_begin(DDPM_RT_PARAMETERS) {
  const Chain chain = DDPM_RT_ARGUMENTS;
  Quad quad;
  if (quad_of_thread(chain, quad)) {
    const ddpm_rt_lane* const lane = chain.lanes + quad.lane;
    const float nothing[4] = {0, 0, 0, 0};
    float z[4];
    ddpm_rt_normal4(lane->seed, lane->sample, DDPM_RT_INITIAL_STEP, quad.number, z);
    for (int i = 0; i < 4; ++i) z[i] = ddpm_rt_mul(lane->initial_scale, z[i]);
    store_x(chain, quad, z);
    store_x0(chain, quad, nothing);
  }
  if (last_block(chain)) advance(chain, 0);
}

/* The same with an x that the host copied to the first `batch` images. */
DDPM_RT_KERNEL ddpm_rt_resume(DDPM_RT_PARAMETERS) {
  const Chain chain = DDPM_RT_ARGUMENTS;
  Quad quad;
  if (quad_of_thread(chain, quad)) {
    const float nothing[4] = {0, 0, 0, 0};
    float start[4];
    load(chain.x + quad.lane * chain.size, quad, start);
    store_x(chain, quad, start);
    store_x0(chain, quad, nothing);
  }
  if (last_block(chain)) advance(chain, 0);
}

/* Applies one row to every lane that is not done. The output of the network must be there. */
DDPM_RT_KERNEL ddpm_rt_step(DDPM_RT_PARAMETERS) {
  const Chain chain = DDPM_RT_ARGUMENTS;
  step_quad(chain);
  if (last_block(chain)) advance(chain, 1);
}

#if defined(__CUDACC_VER_MAJOR__) && \
    (__CUDACC_VER_MAJOR__ > 12 || (__CUDACC_VER_MAJOR__ == 12 && __CUDACC_VER_MINOR__ >= 4))
#ifdef __CUDACC_RTC__ /* NVRTC has the function, but no declaration of it */
extern "C" __device__ __cudart_builtin__ void CUDARTAPI
cudaGraphSetConditional(cudaGraphConditionalHandle handle, unsigned int value);
#endif

/* The same in the body of a while node. Ends the node after the last row, at the request of the
 * host, and after an output that is not finite. */
DDPM_RT_KERNEL ddpm_rt_step_while(DDPM_RT_PARAMETERS, ddpm_rt_u64 handle) {
  const Chain chain = DDPM_RT_ARGUMENTS;
  step_quad(chain);
  if (!last_block(chain)) return;
  const bool goes_on = advance(chain, 1);
  if (threadIdx.x == 0) cudaGraphSetConditional(handle, goes_on);
}
#endif
