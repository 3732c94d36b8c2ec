// In a program of its own, which no stand-in is part of.
#include <doctest/doctest.h>

#include <string>

#include "cuda_driver.hpp"
#include "error.hpp"

TEST_CASE("a machine without a driver gets a status and a sentence") {
  try {
    ddpm_rt::cuda::load_driver();  // there is one
  } catch (const ddpm_rt::Failure& failure) {
    CHECK(failure.status == DDPM_RT_ENGINE_FAILED);
    CHECK(std::string(failure.what()).find("sample on the CPU") != std::string::npos);
  }
}
