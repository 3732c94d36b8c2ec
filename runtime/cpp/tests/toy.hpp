// A network without weights, for the host loop and the GPU loop: the same operations, each rounded
// once.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>

// The output for one image. `out_size` is `size`, or 2 * size with a spread.
inline void toy(const float* x, float t, std::int64_t label, std::size_t size, std::size_t out_size,
                float* out) {
  const float gain = 0.5F + t * 0.0004F, move = static_cast<float>(label) * 0.1F;
  for (std::size_t i = 0; i < size; ++i) out[i] = x[i] * gain + move;
  for (std::size_t i = size; i < out_size; ++i) out[i] = 0.5F * x[i - size];
}

// What a named input adds to the output for one image: an eighth of its numbers, in turn.
template <class Number>
void toy_input(const Number* entry, std::size_t numbers, std::size_t size, float* out) {
  for (std::size_t i = 0; i < size; ++i) out[i] += 0.125F * static_cast<float>(entry[i % numbers]);
}
