#include <doctest/doctest.h>

#include <array>
#include <vector>

#include "ddpm_rt/noise.h"
#include "golden.hpp"

TEST_CASE("Philox gives the words of Random123's known answers and of Python") {
  const auto noise = golden("noise.json");
  for (const auto& known : noise.at("words")) {
    auto counter = known.at("counter").get<std::array<ddpm_rt_u32, 4>>();
    ddpm_rt_philox(counter.data(), known.at("key").at(0), known.at("key").at(1));
    CHECK(counter == known.at("words").get<std::array<ddpm_rt_u32, 4>>());
  }
}

TEST_CASE(
    "normals have Python's bits at every edge of the counter, though this file may be compiled to "
    "fuse") {
  const auto noise = golden("noise.json");
  for (const auto& known : noise.at("normals")) {
    const auto expected = known.at("bits").get<std::vector<std::uint32_t>>();
    for (std::size_t first = 0; first < expected.size(); first += 4) {
      float z[4];
      ddpm_rt_normal4(known.at("seed"), known.at("sample"), known.at("step"),
                      static_cast<ddpm_rt_u32>(first / 4), z);
      for (std::size_t i = first; i < first + 4 && i < expected.size(); ++i)
        CHECK(bits(z[i - first]) == expected[i]);
    }
  }
}

TEST_CASE(
    "the noise says of itself that it is exact, and its word is folded from Python's normals") {
  const auto noise = golden("noise.json");
  ddpm_rt_u32 fold = 0;
  for (const auto& known : noise.at("normals"))
    if (known.at("bits").size() == 512)
      for (const ddpm_rt_u32 word : known.at("bits")) fold = fold * 0x01000193u ^ word;
  CHECK(fold == DDPM_RT_NOISE_FOLD);
  CHECK(ddpm_rt_noise_is_exact() == 1);
}
