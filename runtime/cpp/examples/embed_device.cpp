// embed_device PLAN STEPS: draws 16 images into memory of the GPU, in the order of a stream of the
// program.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <ddpm_rt.hpp>

int main(int argc, char** argv) try {
  if (argc != 3) return std::fprintf(stderr, "embed_device PLAN STEPS\n"), 2;
  ddpm_rt::Sampler sampler(argv[1], argv[2], {.provider = DDPM_RT_TENSORRT, .device = 0});
  const std::size_t floats = 16 * sampler.image_size();
  float* images = nullptr;
  cudaStream_t stream = nullptr;
  if (cudaMalloc(reinterpret_cast<void**>(&images), floats * sizeof(float)) != cudaSuccess ||
      cudaStreamCreate(&stream) != cudaSuccess)
    return std::fprintf(stderr, "no memory on the GPU\n"), 1;

  sampler.sample_device({.seed = 7, .count = 16}, images, floats, stream);
  // Work that is queued in the stream from here on sees the images: a kernel, a copy, an encoder.
  sampler.finish();  // throws if an output was not finite

  std::printf("16 images of %zu floats at %p\n", sampler.image_size(), static_cast<void*>(images));
  cudaStreamDestroy(stream);
  cudaFree(images);
} catch (const std::exception& error) {
  return std::fprintf(stderr, "%s\n", error.what()), 1;
}
