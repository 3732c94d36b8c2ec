/* embed MODEL [STEPS]: writes one image as a PGM or PPM to the standard output. */
#include <ddpm_rt.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  ddpm_rt_sampler* sampler = NULL;
  ddpm_rt_info info = DDPM_RT_INFO;
  ddpm_rt_sample_options options = DDPM_RT_SAMPLE_OPTIONS;
  options.seed = 7;
  if (argc != 2 && argc != 3) return fprintf(stderr, "embed MODEL [STEPS]\n"), 2;
  if (ddpm_rt_open(argv[1], argc == 3 ? argv[2] : NULL, NULL, &sampler) ||
      ddpm_rt_describe(sampler, &info))
    return fprintf(stderr, "%s\n", ddpm_rt_last_error()), 1;

  const size_t area = (size_t)info.height * info.width, size = area * info.channels;
  float* image = malloc(size * sizeof *image);
  const ddpm_rt_status status = ddpm_rt_sample(sampler, &options, image, size);
  if (status) fprintf(stderr, "%s\n", ddpm_rt_last_error());

  if (!status) printf("P%c\n%u %u\n255\n", info.channels == 1 ? '5' : '6', info.width, info.height);
  for (size_t i = 0; !status && i < size; ++i) { /* [C, H, W] to [H, W, C] */
    const float value = image[i % info.channels * area + i / info.channels] * 127.5f + 128.0f;
    putchar(value < 0 ? 0 : value > 255 ? 255 : (int)value);
  }
  free(image);
  ddpm_rt_close(sampler);
  return status;
}
