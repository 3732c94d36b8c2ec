#include "cuda_driver.hpp"

#ifdef _WIN32
#include <windows.h>
#else
#include <dlfcn.h>
#endif

#include "error.hpp"

namespace ddpm_rt::cuda {
namespace {

// The library is never let go: other parts of the program may use it, and it has threads of its
// own.
#ifdef _WIN32
void* library() { return reinterpret_cast<void*>(LoadLibraryA("nvcuda.dll")); }
void* symbol(void* from, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(from), name));
}
#else
void* library() { return dlopen("libcuda.so.1", RTLD_NOW | RTLD_GLOBAL); }
void* symbol(void* from, const char* name) { return dlsym(from, name); }
#endif

template <class Pointer>
void find(void* from, const char* name, Pointer& function) {
  function = reinterpret_cast<Pointer>(symbol(from, name));
  if (function == nullptr)
    throw Failure(DDPM_RT_ENGINE_FAILED,
                  std::string("the NVIDIA driver here is too old, it has no ") + name +
                      "; install a newer one");
}

}  // namespace

std::unique_ptr<const Driver> load_driver() {
  void* const from = library();
  if (from == nullptr)
    throw Failure(DDPM_RT_ENGINE_FAILED,
                  "no NVIDIA driver was found; install one, or sample on the CPU");
  auto driver = std::make_unique<Driver>();
#define DDPM_RT_FIND(name, symbol, parameters) find(from, #symbol, driver->name);
  DDPM_RT_DRIVER(DDPM_RT_FIND)
#undef DDPM_RT_FIND
  const int result = driver->init(0);
  if (result == NO_DEVICE)
    throw Failure(DDPM_RT_ENGINE_FAILED, "the NVIDIA driver finds no GPU; sample on the CPU");
  driver->check(result, "the NVIDIA driver does not start");
  return driver;
}

void Driver::check(int result, const std::string& doing) const {
  if (result == SUCCESS) return;
  const char* name = nullptr;
  if (error_name(result, &name) != SUCCESS || name == nullptr) name = "an unknown error";
  throw Failure(DDPM_RT_ENGINE_FAILED, doing + ": " + name);
}

}  // namespace ddpm_rt::cuda
