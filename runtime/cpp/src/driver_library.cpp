#include "driver_library.hpp"

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

namespace ddpm_rt::cuda {

#ifdef _WIN32

void* driver_library() { return reinterpret_cast<void*>(LoadLibraryA("nvcuda.dll")); }

void* driver_symbol(void* library, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}

#else

void* driver_library() { return dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL); }

void* driver_symbol(void* library, const char* name) { return dlsym(library, name); }

#endif

int gpu_count() {
  void* const library = driver_library();
  if (library == nullptr) return 0;
  const auto init = reinterpret_cast<int (*)(unsigned)>(driver_symbol(library, "cuInit"));
  const auto count = reinterpret_cast<int (*)(int*)>(driver_symbol(library, "cuDeviceGetCount"));
  int found = 0;
  const bool works = init != nullptr && count != nullptr && init(0) == 0 && count(&found) == 0;
  return works ? found : 0;
}

}  // namespace ddpm_rt::cuda
