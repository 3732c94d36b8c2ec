// A program of its own, without the stand-in for the driver.
#include <doctest/doctest.h>

#include <string>

#include "cuda_driver.hpp"
#include "error.hpp"

TEST_CASE("a machine without a driver gets a status and a sentence") {
  try {
    ddpm_rt::cuda::load_driver();  // this machine has a driver
  } catch (const ddpm_rt::Failure& failure) {
    CHECK(failure.status == DDPM_RT_ENGINE_FAILED);
    CHECK(std::string(failure.what()).find("use the CPU") != std::string::npos);
  }
}
