// Text for people: messages and descriptions, which may quote files.
#pragma once

#include <string>
#include <string_view>

#include "limits.hpp"

namespace ddpm_rt {

// The text as one line of at most `most` printable characters of UTF-8. Control characters,
// characters that change the direction of text and bytes that are not UTF-8 are escaped: \n, \x1b,
// \u202e. A longer text loses its middle, because the end says what to do.
std::string one_line(std::string_view text, std::size_t most = MAX_MESSAGE_CHARACTERS);

// The number of characters of a text in UTF-8.
std::size_t characters_of(std::string_view text);

}  // namespace ddpm_rt
