/* Writes what the headers of ddpm-rt give: headers NORMALS EXPONENTIALS. The numbers are those of measured.py. */
#include <stdio.h>
#include <string.h>

#include "ddpm_rt/step.h"

enum { COUNT = 1 << 20, SAMPLES = 4, STEP = 5 };

static float values[COUNT];

static int save(const char* path) {
  FILE* file = fopen(path, "wb");
  if (file == NULL) return 0;
  const size_t written = fwrite(values, sizeof(float), COUNT, file);
  return fclose(file) == 0 && written == COUNT;
}

int main(int argc, char** argv) {
  if (argc != 3) return fprintf(stderr, "headers NORMALS EXPONENTIALS\n"), 2;
  const ddpm_rt_u64 seed = 0xFFFFFFFFFFFFFFFBu, first = 0xFFFFFFFEu;
  const ddpm_rt_u32 quads = COUNT / SAMPLES / 4;
  for (ddpm_rt_u32 sample = 0; sample < SAMPLES; ++sample)
    for (ddpm_rt_u32 quad = 0; quad < quads; ++quad)
      ddpm_rt_normal4(seed, first + sample, STEP, quad, values + 4 * (sample * quads + quad));
  if (!save(argv[1])) return 1;
  for (ddpm_rt_u32 i = 0; i < COUNT; ++i) {
    const ddpm_rt_u32 bits = i * 4093u;
    float x;
    memcpy(&x, &bits, sizeof x);
    values[i] = ddpm_rt_exp(x == x ? x : 1.0f);
  }
  return save(argv[2]) ? 0 : 1;
}
