// The limits of what the readers accept.
#pragma once

#include <cstddef>

namespace ddpm_rt {

inline constexpr std::size_t MAX_MODEL_BYTES = std::size_t{16} << 30;
inline constexpr std::size_t MAX_STEPS_BYTES = std::size_t{64} << 20;
inline constexpr std::size_t MAX_RECORD_BYTES = std::size_t{64} << 20;
inline constexpr std::size_t MAX_CARD_BYTES = std::size_t{8} << 20;

inline constexpr std::size_t MAX_JSON_DEPTH = 64;
inline constexpr std::size_t MAX_NUMBER_CHARACTERS = 400;
inline constexpr std::size_t MAX_OBJECT_KEYS = 100'000;
// The longest steps file has 2^20 rows of 9 numbers. A value takes up to 100 bytes of memory.
inline constexpr std::size_t MAX_JSON_VALUES = std::size_t{10} << 20;

inline constexpr std::size_t MAX_MESSAGE_CHARACTERS = 300;

inline constexpr int MAX_THREADS = 1024;

}  // namespace ddpm_rt
