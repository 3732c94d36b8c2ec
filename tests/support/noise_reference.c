/* The definition in ddpm_rt.noise once more, in C. Compile with -O2 -ffp-contract=off. */
#include <math.h>
#include <stdint.h>
#include <string.h>

static void philox(const uint32_t counter[4], uint32_t k0, uint32_t k1, uint32_t words[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  for (int round = 0; round < 10; ++round) {
    uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
    uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
    c0 = n0, c1 = (uint32_t)p1, c2 = n2, c3 = (uint32_t)p0;
    k0 += 0x9E3779B9u, k1 += 0xBB67AE85u;
  }
  words[0] = c0, words[1] = c1, words[2] = c2, words[3] = c3;
}

static float from_bits(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static float natural_log(float u) {
  uint32_t i;
  memcpy(&i, &u, sizeof i);
  i += 0x3F800000u - 0x3F3504F3u;
  float k = (float)((int)(i >> 23) - 127);
  float f = from_bits((i & 0x7FFFFFu) + 0x3F3504F3u) - 1.0f;
  float s = f / (2.0f + f);
  float z = s * s;
  float p = 0.66666687f + z * (0.39988527f + z * 0.29587513f);
  return k * 0.693359375f + (k * -2.1219444e-4f + s * (2.0f + z * p));
}

static void pair(uint32_t top, uint32_t turn, float out[2]) {
  float u = (float)((top >> 8) + 1u) * 0x1p-24f;
  float radius = sqrtf(-2.0f * natural_log(u));
  int32_t n = (int32_t)(turn >> 8), q = (n + (1 << 21)) >> 22;
  float r = (float)(n - (q << 22)) * 3.7450704e-07f;
  float z = r * r;
  float sine = r + (r * z) * (-0.16666664f + z * (0.008332662f + z * -0.00019570084f));
  float cosine =
      1.0f + z * (-0.5f + z * (0.041666623f + z * (-0.0013885986f + z * 2.4267682e-05f)));
  float a = q & 1 ? sine : cosine, b = q & 1 ? cosine : sine;
  q &= 3;
  out[0] = radius * (q == 1 || q == 2 ? -a : a);
  out[1] = radius * (q >= 2 ? -b : b);
}

void normal(uint64_t seed, uint64_t sample, uint32_t step, uint32_t first_block, uint32_t blocks,
            float* out) {
  for (uint32_t block = 0; block < blocks; ++block) {
    uint32_t counter[4] = {first_block + block, step, (uint32_t)sample, (uint32_t)(sample >> 32)},
             words[4];
    philox(counter, (uint32_t)seed, (uint32_t)(seed >> 32), words);
    pair(words[0], words[1], out + 4 * (uint64_t)block);
    pair(words[2], words[3], out + 4 * (uint64_t)block + 2);
  }
}
