// The limits of what the readers and the calls accept. They are those of Python
// (runtime/ddpm_rt/limits.py, artifacts/bounded_read.py); tests/cpp/test_limits.py compares the two.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ddpm_rt {

// Files. Python leaves the size of a model to ONNX Runtime and TensorRT.
inline constexpr std::size_t MAX_MODEL_BYTES = std::size_t{16} << 30;
inline constexpr std::size_t MAX_TEXT_BYTES = std::size_t{16} << 20;  // of a JSON text
inline constexpr std::size_t MAX_PICTURE_BYTES = std::size_t{256} << 20;

// JSON
inline constexpr std::size_t MAX_JSON_DEPTH = 64;
inline constexpr std::size_t MAX_DIGITS = 100;            // side by side, in one number
inline constexpr std::size_t MAX_KEYS = 20'000;           // of all objects of a text together
inline constexpr std::size_t MAX_NAME_CHARACTERS = 1000;  // of a name, or another text of a card
inline constexpr std::size_t MAX_CARD_ENTRIES = 100;  // of an object in the provenance of a card

// Models
inline constexpr std::int64_t MAX_SIDE = 65'536;  // of an image, also its channels
inline constexpr std::int64_t MAX_ELEMENTS = std::int64_t{1} << 26;  // of an image
inline constexpr std::size_t MAX_INPUTS = 16;     // of a network, besides x, t and y
inline constexpr std::size_t MAX_INPUT_RANK = 6;  // without the batch
inline constexpr std::int64_t MAX_CLASSES = 2'147'483'647;
inline constexpr std::int64_t MAX_TIMESTEPS = 65'536;  // of the process that the model learned
inline constexpr std::int64_t MAX_ROWS = 1'000'000;    // of a step table

// Calls
inline constexpr std::uint64_t MAX_COUNT = 10'000'000;  // images
inline constexpr std::int64_t MAX_BATCH = 65'535;       // the second dimension of a CUDA grid
inline constexpr std::uint64_t MAX_RESAMPLE = 1000;     // RePaint passes per step
inline constexpr int MAX_THREADS = 1024;
inline constexpr int MAX_GPUS = 1024;
inline constexpr int MAX_STREAMS = 64;  // batches at a time; Python's device loop has no limit

// Pictures
inline constexpr std::size_t MAX_PIXELS = std::size_t{1} << 26;  // of a file, or of a grid
inline constexpr std::uint64_t MAX_SCALE = 1024;                 // of each side of a picture

inline constexpr std::size_t MAX_MESSAGE_CHARACTERS = 300;

}  // namespace ddpm_rt
