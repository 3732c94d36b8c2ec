#include "cuda_driver.hpp"

#include "driver_library.hpp"
#include "error.hpp"

namespace ddpm_rt::cuda {
namespace {

template <class Pointer>
void find(void* from, const char* name, Pointer& function) {
  function = reinterpret_cast<Pointer>(driver_symbol(from, name));
  if (function == nullptr)
    throw Failure(DDPM_RT_ENGINE_FAILED, std::string("the NVIDIA driver is too old: it has no ") +
                                             name + "; install a newer driver");
}

}  // namespace

std::unique_ptr<const Driver> load_driver() {
  void* const from = driver_library();
  if (from == nullptr)
    throw Failure(DDPM_RT_ENGINE_FAILED, "no NVIDIA driver was found; install one, or use the CPU");
  auto driver = std::make_unique<Driver>();
#define DDPM_RT_FIND(name, symbol, parameters) find(from, #symbol, driver->name);
  DDPM_RT_DRIVER(DDPM_RT_FIND)
#undef DDPM_RT_FIND
  const int result = driver->init(0);
  if (result == NO_DEVICE)
    throw Failure(DDPM_RT_ENGINE_FAILED, "the NVIDIA driver finds no GPU; use the CPU");
  driver->check(result, "the NVIDIA driver cannot be started");
  return driver;
}

void Driver::check(int result, const std::string& failure) const {
  if (result == SUCCESS) return;
  const char* name = nullptr;
  if (error_name(result, &name) != SUCCESS || name == nullptr) name = "an unknown error";
  throw Failure(DDPM_RT_ENGINE_FAILED, failure + ": " + name);
}

}  // namespace ddpm_rt::cuda
