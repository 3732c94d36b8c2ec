/* One row of a step table, for four elements of one sample: the loop of runtime/ddpm_rt/sampler.py
 * once more, and the exponential of runtime/ddpm_rt/exponential.py.
 *
 * One header for C, C++, nvcc and NVRTC, bit-equal in all of them and to NumPy, on noise.h's terms.
 * Every + - and * is rounded once, in the order written, none fused:
 *
 *     out     = null + guidance * (labelled - null)          guided only; spread is the labelled
 * one's prev_x0 = x0 x0      = x0_from_x * x + x0_from_out * out            two products, then
 * their sum x0      = clip_low if below it, then clip_high if above it (NaN and -0 stay what they
 * are) x       = mean_from_x * x x       = x + mean_from_x0 * x0 x       = x + mean_from_out * out
 * left out where the coefficient is 0 x       = x + mean_from_prev_x0 * prev_x0              left
 * out where the coefficient is 0 part    = sigma * z                                    left out,
 * with the rest, where sigma is 0 part    = part * exp(log_sigma_from_spread * spread)   left out
 * where the coefficient is 0 x       = x + part
 *
 * What is left out is not added as 0: infinity times 0 is no number, and -0 + 0 is not -0.
 */
#ifndef DDPM_RT_STEP_H
#define DDPM_RT_STEP_H

#include "noise.h"

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define DDPM_RT_ALIGNED __align__(16) /* so that a thread reads a whole one in three loads */
#else
#define DDPM_RT_ALIGNED
#endif

#define DDPM_RT_FINITE 0xFFFFFFFFu /* `not_finite` of a lane whose network has said nothing else \
                                    */

/* A row of a step table: ddpm_rt.table.StepTable, rounded to float32, and the clip. */
typedef struct DDPM_RT_ALIGNED ddpm_rt_row {
  float x0_from_x, x0_from_out;
  float mean_from_x0, mean_from_x, mean_from_out, mean_from_prev_x0;
  float sigma, log_sigma_from_spread;
  float clip_low, clip_high; /* -inf and inf: no clip */
  long long t;               /* what the network is told */
} ddpm_rt_row;

/* A sample of the batch, and where it stands. */
typedef struct DDPM_RT_ALIGNED ddpm_rt_lane {
  ddpm_rt_u64 seed, sample; /* the address of its noise */
  ddpm_rt_u32 table;        /* the first row of its table */
  ddpm_rt_u32 row, end;     /* the next row of its table, and where it stops: row >= end is done */
  ddpm_rt_u32 not_finite;   /* the first row whose output was not finite, or DDPM_RT_FINITE */
  float guidance;           /* of a guided batch */
  ddpm_rt_u32 unused[3];    /* 0 */
} ddpm_rt_lane;

/* Host and device write to the same bytes: an array of negative size does not compile. */
typedef char ddpm_rt_row_is_48_bytes[sizeof(ddpm_rt_row) == 48 ? 1 : -1];
typedef char ddpm_rt_lane_is_48_bytes[sizeof(ddpm_rt_lane) == 48 ? 1 : -1];

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__) && !defined(__CUDA_ARCH__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

/* e to the power of x, NaN and infinities included. */
DDPM_RT_FN float ddpm_rt_exp(float x) {
  const float above = x < -104.0f ? -104.0f : x;
  const float v = above > 89.0f ? 89.0f : above;
  const float n = ddpm_rt_add(ddpm_rt_mul(v, 1.442695f), 12582912.0f); /* 1.5 * 2^23 */
  const float k = ddpm_rt_add(n, -12582912.0f);
  const float r =
      ddpm_rt_add(ddpm_rt_add(v, -ddpm_rt_mul(k, 0.693359375f)), -ddpm_rt_mul(k, -2.1219444e-4f));
  float p = ddpm_rt_add(0.008363102f, ddpm_rt_mul(r, 0.0013937084f));
  p = ddpm_rt_add(0.041666444f, ddpm_rt_mul(r, p));
  p = ddpm_rt_add(0.16666578f, ddpm_rt_mul(r, p));
  p = ddpm_rt_add(0.5f, ddpm_rt_mul(r, p));
  p = ddpm_rt_add(1.0f, ddpm_rt_add(r, ddpm_rt_mul(ddpm_rt_mul(r, r), p)));
  const ddpm_rt_u32 j = ddpm_rt_bits(n) - (0x4B400000u - 256u), h = j >> 1; /* j = k + 256 */
  const float once = ddpm_rt_mul(p, ddpm_rt_float((h - 1u) << 23));
  return ddpm_rt_mul(once, ddpm_rt_float((j - h - 1u) << 23));
}

/* Whether a value is infinite or no number, and a later `|` may join several. */
DDPM_RT_FN int ddpm_rt_not_finite(float value) {
  return (ddpm_rt_bits(value) & 0x7F800000u) == 0x7F800000u;
}

/* Classifier-free guidance, Ho and Salimans 2022, eq. (6) with W = 1 + w. */
DDPM_RT_FN float ddpm_rt_guide(float labelled, float null, float guidance) {
  return ddpm_rt_add(null, ddpm_rt_mul(guidance, ddpm_rt_add(labelled, -null)));
}

/* One row for four elements, all but its noise: x0 is the row before's on entry and this one's on
 * exit. */
DDPM_RT_FN void ddpm_rt_update4(const ddpm_rt_row *row, const float out[4], float x[4],
                                float x0[4]) {
  for (int i = 0; i < 4; ++i) {
    const float prev_x0 = x0[i];
    float here =
        ddpm_rt_add(ddpm_rt_mul(row->x0_from_x, x[i]), ddpm_rt_mul(row->x0_from_out, out[i]));
    here = here < row->clip_low ? row->clip_low : here;
    here = here > row->clip_high ? row->clip_high : here;
    float next = ddpm_rt_mul(row->mean_from_x, x[i]);
    next = ddpm_rt_add(next, ddpm_rt_mul(row->mean_from_x0, here));
    if (row->mean_from_out != 0) next = ddpm_rt_add(next, ddpm_rt_mul(row->mean_from_out, out[i]));
    if (row->mean_from_prev_x0 != 0)
      next = ddpm_rt_add(next, ddpm_rt_mul(row->mean_from_prev_x0, prev_x0));
    x[i] = next;
    x0[i] = here;
  }
}

/* The noise of a row whose sigma is not 0, for four elements. `spread` is only looked at where the
 * row has a coefficient for it. */
DDPM_RT_FN void ddpm_rt_add_noise4(const ddpm_rt_row *row, const float spread[4], const float z[4],
                                   float x[4]) {
  for (int i = 0; i < 4; ++i) {
    float part = ddpm_rt_mul(row->sigma, z[i]);
    if (row->log_sigma_from_spread != 0)
      part = ddpm_rt_mul(part, ddpm_rt_exp(ddpm_rt_mul(row->log_sigma_from_spread, spread[i])));
    x[i] = ddpm_rt_add(x[i], part);
  }
}

#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDA_ARCH__)
#pragma GCC pop_options
#endif

#endif
