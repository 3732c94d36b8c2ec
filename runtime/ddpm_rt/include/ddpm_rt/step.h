/* clang-format off */
/* One row of a step table, applied to four elements of one sample.
 *
 * This header specifies the arithmetic of the reverse loop. The host loop in runtime/ddpm_rt, the
 * host loop in runtime/cpp and the CUDA kernels give the same bits. The header compiles as C, C++,
 * CUDA (nvcc) and NVRTC; noise.h lists what the compiler must not do.
 *
 * Every operation +, - and * is rounded to float32 once, in the order written. None is fused.
 *
 *     out     = null + guidance * (labelled - null)           only with guidance; `spread` is the
 *                                                             spread of the labelled output
 *     prev_x0 = x0
 *     x0      = x0_from_x * x + x0_from_out * out             round both products, then their sum
 *     x0      = clip_low if x0 < clip_low                     NaN and -0 are unchanged
 *     x0      = clip_high if x0 > clip_high
 *     x       = mean_from_x * x
 *     x       = x + mean_from_x0 * x0
 *     x       = x + mean_from_out * out                       skipped if the coefficient is 0
 *     x       = x + mean_from_prev_x0 * prev_x0               skipped if the coefficient is 0
 *     part    = sigma * z                                     this line and the two below are
 *                                                             skipped if sigma is 0
 *     part    = part * exp(log_sigma_from_spread * spread)    skipped if the coefficient is 0
 *     x       = x + part
 *
 * A skipped term is not added as 0, because infinity * 0 is NaN and -0 + 0 is +0. `exp` is
 * ddpm_rt_exp below, the exponential of runtime/ddpm_rt/exponential.py. `z` is ddpm_rt_normal4 of
 * noise.h for the same seed, sample, row and elements.
 */
/* clang-format on */
#ifndef DDPM_RT_STEP_H
#define DDPM_RT_STEP_H

#include "noise.h"

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define DDPM_RT_ALIGNED __align__(16) /* a thread reads a struct in three 16-byte loads */
#else
#define DDPM_RT_ALIGNED
#endif

/* The value of `not_finite` while every output of the network is finite. */
#define DDPM_RT_FINITE 0xFFFFFFFFu

/* One row of a step table (StepTable in Python), rounded to float32, and the clip range. */
typedef struct DDPM_RT_ALIGNED ddpm_rt_row {
  float x0_from_x, x0_from_out;
  float mean_from_x0, mean_from_x, mean_from_out, mean_from_prev_x0;
  float sigma, log_sigma_from_spread;
  float clip_low, clip_high; /* -inf and inf do not clip */
  double t;                  /* the time that the network is given; an integer if it takes one */
} ddpm_rt_row;

/* One sample of the batch and its progress through its step table. */
typedef struct DDPM_RT_ALIGNED ddpm_rt_lane {
  ddpm_rt_u64 seed, sample; /* with the row and the element, these address the noise */
  ddpm_rt_u32 table;        /* the index of the first row of its table */
  ddpm_rt_u32 row, end;     /* the next row, and the end: a lane with row >= end is done */
  ddpm_rt_u32 not_finite;   /* the first row with an output that is not finite */
  float guidance;           /* read only if the batch is guided */
  float initial_scale;      /* x_T = initial_scale * z */
  ddpm_rt_u32 unused[2];    /* must be 0: padding to 48 bytes */
} ddpm_rt_lane;

/* Host and device share these bytes. A wrong size makes an array of negative size: an error. */
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

/* e to the power of x, also for NaN and infinities. */
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

/* 1 if the value is infinite or NaN, else 0. Results may be combined with `|`. */
DDPM_RT_FN int ddpm_rt_not_finite(float value) {
  return (ddpm_rt_bits(value) & 0x7F800000u) == 0x7F800000u;
}

/* Classifier-free guidance, Ho and Salimans 2022, eq. (6) with W = 1 + w. */
DDPM_RT_FN float ddpm_rt_guide(float labelled, float null, float guidance) {
  return ddpm_rt_add(null, ddpm_rt_mul(guidance, ddpm_rt_add(labelled, -null)));
}

/* Applies one row to four elements, except for its noise. On entry x0 is that of the previous row,
 * on exit that of this row. */
DDPM_RT_FN void ddpm_rt_update4(const ddpm_rt_row* row, const float out[4], float x[4],
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

/* Adds the noise of a row with sigma != 0 to four elements. `spread` is read only if
 * log_sigma_from_spread is not 0. */
DDPM_RT_FN void ddpm_rt_add_noise4(const ddpm_rt_row* row, const float spread[4], const float z[4],
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
