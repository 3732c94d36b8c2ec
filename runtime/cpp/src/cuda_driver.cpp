#include "cuda_driver.hpp"

#include <cstring>

#include "driver_library.hpp"
#include "error.hpp"

namespace ddpm_rt::cuda {
namespace {

// The names in the library, each of which ends with a NUL, in the order of the members of Driver.
#define DDPM_RT_NAME(name, symbol, parameters) #symbol "\0"
constexpr char NAMES[] = DDPM_RT_DRIVER(DDPM_RT_NAME);
constexpr char NAMES_12_4[] = DDPM_RT_DRIVER_12_4(DDPM_RT_NAME);
#undef DDPM_RT_NAME

// Writes the functions with these names to the members from `to` on. This is a loop over one string,
// because a statement for each member would be several kilobytes of code.
void find(void* from, const char* names, std::byte* to) {
  for (; *names != '\0'; names += std::strlen(names) + 1) {
    void* const function = driver_symbol(from, names);
    if (function == nullptr)
      throw Failure(DDPM_RT_ENGINE_FAILED, std::string("the NVIDIA driver is too old: it has no ") +
                                               names + "; install a newer driver");
    std::memcpy(to, &function, sizeof function);
    to += sizeof function;
  }
}

}  // namespace

std::unique_ptr<const Driver> load_driver() {
  void* const from = driver_library();
  if (from == nullptr)
    throw Failure(DDPM_RT_ENGINE_FAILED, "no NVIDIA driver was found; install one, or use the CPU");
  auto driver = std::make_unique<Driver>();
  auto* const members = reinterpret_cast<std::byte*>(driver.get());
  find(from, NAMES, members);
  const int result = driver->init(0);
  if (result == NO_DEVICE)
    throw Failure(DDPM_RT_ENGINE_FAILED, "the NVIDIA driver finds no GPU; use the CPU");
  driver->check(result, "the NVIDIA driver cannot be started");
  int version = 0;
  driver->check(driver->version(&version), "the NVIDIA driver cannot be started");
  if (version >= CUDA_12_4) find(from, NAMES_12_4, members + offsetof(Driver, make_graph));
  return driver;
}

void Driver::check(int result, const std::string& failure) const {
  if (result == SUCCESS) return;
  const char* name = nullptr;
  if (error_name(result, &name) != SUCCESS || name == nullptr) name = "an unknown error";
  throw Failure(DDPM_RT_ENGINE_FAILED, failure + ": " + name);
}

}  // namespace ddpm_rt::cuda
