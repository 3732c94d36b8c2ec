// Pictures from PNG and JPEG files. runtime/ddpm_rt/images/picture_file.py and read.py are the
// counterparts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lanczos.hpp"

// Whether a file is an array by its name, and so no picture.
bool is_array(const std::string& path);

// Reads the file as a picture of 1 or 3 channels. Throws std::runtime_error for anything but one
// PNG or JPEG picture without transparency, of 8 bits a channel and within the limits.
Picture read_picture(const std::string& path, std::size_t channels);

// The same in [-1, 1], float32 [C, H, W] of `shape`, which has 1 or 3 channels: bytes / 127.5 - 1. A
// picture of another size is resized, or refused. Throws UsageError, and as read_picture does.
std::vector<float> read_pixels(const std::string& path, const std::vector<std::size_t>& shape,
                               bool resize);

// A picture as a mask, [H, W]: 1 where it is white, and 0 where it is black. Throws UsageError for
// another size, and as read_picture does.
std::vector<std::uint8_t> read_picture_mask(const std::string& path, std::size_t height,
                                            std::size_t width);

// Whether the pixels of a PNG can be decoded. Its chunks are whole.
bool can_decode(std::string_view png);
