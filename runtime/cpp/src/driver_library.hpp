// NVIDIA's driver as a shared library that may be missing.
#pragma once

namespace ddpm_rt::cuda {

// The library, loaded, or NULL. It is never unloaded: other parts of the program may use it, and it
// has threads of its own.
void* driver_library();

// A function of the library, or NULL.
void* driver_symbol(void* library, const char* name);

// How many GPUs the driver finds. 0 without a driver, and if the driver fails.
int gpu_count();

}  // namespace ddpm_rt::cuda
