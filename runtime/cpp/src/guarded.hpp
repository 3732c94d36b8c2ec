// What every C function has: exceptions become statuses and messages, and structs of other versions
// are converted.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>

#include "ddpm_rt.h"
#include "error.hpp"

namespace ddpm_rt {

// Keeps the message of a failure for this thread. Returns the status.
ddpm_rt_status failed(ddpm_rt_status status, const char* message) noexcept;
// The latest of these messages; "" if there was none.
const char* latest_message() noexcept;

template <class Body>
ddpm_rt_status guarded(const Body& body) noexcept {
  try {
    body();
    return DDPM_RT_OK;
  } catch (const Failure& failure) {
    return failed(failure.status, failure.what());
  } catch (const std::bad_alloc&) {
    return failed(DDPM_RT_ENGINE_FAILED, "out of memory; use smaller batches");
  } catch (const std::exception& error) {
    return failed(DDPM_RT_ENGINE_FAILED, error.what());
  } catch (...) {
    return failed(DDPM_RT_ENGINE_FAILED, "an unknown exception was thrown");
  }
}

// Throws Failure for a size that no struct can have. `macro` is what initializes it.
void check_struct_size(std::size_t size, const char* macro);

// Converts the caller's struct, which may be of another version, to the struct of this library.
// Fields that the caller does not have get their defaults. Fields that this library does not have
// must be 0.
template <class Options>
Options converted(const Options* given, Options defaults, const char* macro) {
  if (given == nullptr) return defaults;
  const std::size_t size = given->struct_size;
  check_struct_size(size, macro);
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  if (size > sizeof defaults &&
      std::any_of(bytes + sizeof defaults, bytes + size, [](auto byte) { return byte != 0; }))
    bad_argument("the options need a newer library than " DDPM_RT_VERSION "; update the library");
  std::memcpy(&defaults, bytes, std::min(size, sizeof defaults));
  defaults.struct_size = sizeof defaults;
  return defaults;
}

template <class Struct>
ddpm_rt_status initialize(Struct* target, std::size_t size, Struct defaults, const char* macro) {
  return guarded([&] {
    if (target == nullptr) bad_argument("the struct must not be NULL");
    check_struct_size(size, macro);
    defaults.struct_size = static_cast<std::uint32_t>(size);
    std::memset(static_cast<void*>(target), 0, size);
    std::memcpy(static_cast<void*>(target), &defaults, std::min(size, sizeof defaults));
  });
}

}  // namespace ddpm_rt
