/* Gaussian noise as a function of (seed, sample, step, element). runtime/ddpm_rt/noise.py has the
 * definition, in four numbered parts.
 *
 * This header compiles as C, C++, CUDA (nvcc) and NVRTC, and gives the bits of the NumPy version in
 * all of them. For that, every operation must be rounded once and none may be fused. The header
 * therefore switches contraction off for the file that includes it. clang's -ffp-contract=fast
 * overrides that; ddpm_rt_noise_is_exact() tells at run time whether the arithmetic is exact, and
 * the library calls it before it draws.
 */
#ifndef DDPM_RT_NOISE_H
#define DDPM_RT_NOISE_H

#if defined(__CUDACC__) || defined(__CUDACC_RTC__)
#define DDPM_RT_FN static __host__ __device__ __forceinline__
#elif defined(__cplusplus)
#define DDPM_RT_FN static inline
#else
#define DDPM_RT_FN static __inline
#endif

#ifndef __CUDACC_RTC__
#include <float.h>
#include <math.h>
#include <string.h>
#if FLT_EVAL_METHOD != 0
#error \
    "float arithmetic is wider than float here and changes the noise; on x86 use -msse2 -mfpmath=sse"
#endif
#endif
#ifdef __FAST_MATH__
#error "-ffast-math changes the noise; build what includes ddpm_rt/noise.h without it"
#endif

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__) && !defined(__CUDA_ARCH__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

#define DDPM_RT_INITIAL_STEP 0xFFFFFFFFu /* the step that addresses x_T */

/* The checksum that ddpm_rt_noise_is_exact() expects. Tests derive it from tests/golden. */
#define DDPM_RT_NOISE_FOLD 0x13042ADCu

typedef unsigned int ddpm_rt_u32;
typedef unsigned long long ddpm_rt_u64;

/* nvcc fuses operations even across statements, but never these intrinsics. On a host the functions
 * are plain operators. */
#ifdef __CUDA_ARCH__
DDPM_RT_FN float ddpm_rt_add(float a, float b) { return __fadd_rn(a, b); }
DDPM_RT_FN float ddpm_rt_mul(float a, float b) { return __fmul_rn(a, b); }
DDPM_RT_FN float ddpm_rt_div(float a, float b) { return __fdiv_rn(a, b); }
DDPM_RT_FN float ddpm_rt_sqrt(float a) { return __fsqrt_rn(a); }
DDPM_RT_FN ddpm_rt_u32 ddpm_rt_bits(float value) { return __float_as_uint(value); }
DDPM_RT_FN float ddpm_rt_float(ddpm_rt_u32 bits) { return __uint_as_float(bits); }
#else
DDPM_RT_FN float ddpm_rt_add(float a, float b) { return a + b; }
DDPM_RT_FN float ddpm_rt_mul(float a, float b) { return a * b; }
DDPM_RT_FN float ddpm_rt_div(float a, float b) { return a / b; }
DDPM_RT_FN float ddpm_rt_sqrt(float a) { return sqrtf(a); }
DDPM_RT_FN ddpm_rt_u32 ddpm_rt_bits(float value) {
  ddpm_rt_u32 bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
DDPM_RT_FN float ddpm_rt_float(ddpm_rt_u32 bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
#endif

/* Philox4x32-10, Salmon et al. 2011. Replaces the counter with the four random words that belong to
 * the counter and the key (k0, k1). */
DDPM_RT_FN void ddpm_rt_philox(ddpm_rt_u32 counter[4], ddpm_rt_u32 k0, ddpm_rt_u32 k1) {
  ddpm_rt_u32 c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  for (int round = 0; round < 10; ++round) {
    const ddpm_rt_u64 p0 = (ddpm_rt_u64)0xD2511F53u * c0, p1 = (ddpm_rt_u64)0xCD9E8D57u * c2;
    c0 = (ddpm_rt_u32)(p1 >> 32) ^ c1 ^ k0;
    c1 = (ddpm_rt_u32)p1;
    c2 = (ddpm_rt_u32)(p0 >> 32) ^ c3 ^ k1;
    c3 = (ddpm_rt_u32)p0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  counter[0] = c0;
  counter[1] = c1;
  counter[2] = c2;
  counter[3] = c3;
}

/* ln(u) for u in (0, 1], part 3 of the definition. */
DDPM_RT_FN float ddpm_rt_ln(float u) {
  const ddpm_rt_u32 i = ddpm_rt_bits(u) + (0x3F800000u - 0x3F3504F3u);
  const float k = (float)((int)(i >> 23) - 127);
  const float f = ddpm_rt_add(ddpm_rt_float((i & 0x7FFFFFu) + 0x3F3504F3u), -1.0f);
  const float s = ddpm_rt_div(f, ddpm_rt_add(2.0f, f));
  const float z = ddpm_rt_mul(s, s);
  float p = ddpm_rt_add(0.39988527f, ddpm_rt_mul(z, 0.29587513f));
  p = ddpm_rt_add(0.66666687f, ddpm_rt_mul(z, p));
  p = ddpm_rt_mul(s, ddpm_rt_add(2.0f, ddpm_rt_mul(z, p)));
  p = ddpm_rt_add(ddpm_rt_mul(k, -2.1219444e-4f), p);
  return ddpm_rt_add(ddpm_rt_mul(k, 0.693359375f), p);
}

/* Cosine and sine of 2 pi n / 2^24, n in [0, 2^24), part 4. */
DDPM_RT_FN void ddpm_rt_cos_sin(ddpm_rt_u32 n, float* cosine_of, float* sine_of) {
  const ddpm_rt_u32 q = (n + (1u << 21)) >> 22;
  const float r = ddpm_rt_mul((float)((int)n - (int)(q << 22)), 3.7450704e-07f);
  const float z = ddpm_rt_mul(r, r);
  float sine = ddpm_rt_add(0.008332662f, ddpm_rt_mul(z, -0.00019570084f));
  sine = ddpm_rt_add(-0.16666664f, ddpm_rt_mul(z, sine));
  sine = ddpm_rt_add(r, ddpm_rt_mul(ddpm_rt_mul(r, z), sine));
  float cosine = ddpm_rt_add(-0.0013885986f, ddpm_rt_mul(z, 2.4267682e-05f));
  cosine = ddpm_rt_add(0.041666623f, ddpm_rt_mul(z, cosine));
  cosine = ddpm_rt_add(-0.5f, ddpm_rt_mul(z, cosine));
  cosine = ddpm_rt_add(1.0f, ddpm_rt_mul(z, cosine));
  const float first = (q & 1u) ? sine : cosine, second = (q & 1u) ? cosine : sine;
  *cosine_of = ((q + 1u) & 2u) ? -first : first; /* quadrants 1 and 2 */
  *sine_of = (q & 2u) ? -second : second;
}

/* Two normals from two words, Box and Muller 1958, part 2. */
DDPM_RT_FN void ddpm_rt_box_muller(ddpm_rt_u32 top, ddpm_rt_u32 turn, float out[2]) {
  const float u = ddpm_rt_mul((float)((top >> 8) + 1u), 5.9604644775390625e-08f); /* 2^-24 */
  const float radius = ddpm_rt_sqrt(ddpm_rt_mul(-2.0f, ddpm_rt_ln(u)));
  float cosine, sine;
  ddpm_rt_cos_sin(turn >> 8, &cosine, &sine);
  out[0] = ddpm_rt_mul(radius, cosine);
  out[1] = ddpm_rt_mul(radius, sine);
}

/* Elements 4 quad .. 4 quad + 3 of one step of one sample. */
DDPM_RT_FN void ddpm_rt_normal4(ddpm_rt_u64 seed, ddpm_rt_u64 sample, ddpm_rt_u32 step,
                                ddpm_rt_u32 quad, float out[4]) {
  ddpm_rt_u32 words[4];
  words[0] = quad;
  words[1] = step;
  words[2] = (ddpm_rt_u32)sample;
  words[3] = (ddpm_rt_u32)(sample >> 32);
  ddpm_rt_philox(words, (ddpm_rt_u32)seed, (ddpm_rt_u32)(seed >> 32));
  ddpm_rt_box_muller(words[0], words[1], out);
  ddpm_rt_box_muller(words[2], words[3], out + 2);
}

/* 1 if this translation unit computes the noise of the definition, 0 if the compiler fuses or
 * reorders operations. The test folds 512 values (seed 7, sample 40, step 3) into a checksum. */
DDPM_RT_FN int ddpm_rt_noise_is_exact(void) {
  /* volatile, because a compiler that evaluates this at compile time never fuses */
  volatile ddpm_rt_u64 seed = 7;
  ddpm_rt_u32 fold = 0;
  for (ddpm_rt_u32 quad = 0; quad < 128; ++quad) {
    float z[4];
    ddpm_rt_normal4(seed, 40, 3, quad, z);
    for (int i = 0; i < 4; ++i) fold = fold * 0x01000193u ^ ddpm_rt_bits(z[i]);
  }
  return fold == DDPM_RT_NOISE_FOLD;
}

#if defined(__GNUC__) && !defined(__clang__) && !defined(__CUDA_ARCH__)
#pragma GCC pop_options
#endif

#endif
