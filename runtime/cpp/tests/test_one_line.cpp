#include <doctest/doctest.h>

#include "one_line.hpp"

using ddpm_rt::one_line;

TEST_CASE("printable text is unchanged") {
  CHECK(one_line("unet.onnx: t must be below 1000") == "unet.onnx: t must be below 1000");
  CHECK(one_line("\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80") == "\xC3\xA9\xE4\xB8\xAD\xF0\x9F\x98\x80");
  CHECK(one_line("") == "");
}

TEST_CASE("control characters, directions of text and bytes that are not UTF-8 are escaped") {
  CHECK(one_line("a\nb\tc\rd\x1B[31m\x7F") == "a\\nb\\tc\\rd\\x1b[31m\\x7f");
  CHECK(one_line("\xC2\x9B"
                 "31m") == "\\x9b31m");                             // C1: CSI
  CHECK(one_line("\xE2\x80\xAE\xEF\xBB\xBF") == "\\u202e\\ufeff");  // right to left, mark
  CHECK(one_line("\xFF\xC3") == "\\xff\\xc3");
  CHECK(one_line("\xC0\xAF") == "\\xc0\\xaf");                    // overlong
  CHECK(one_line("\xED\xA0\x80") == "\\xed\\xa0\\x80");           // a surrogate
  CHECK(one_line("\xF4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");  // above U+10FFFF
}

TEST_CASE("a long text keeps its begin and its end, and no character is cut") {
  const std::string line = one_line("begin " + std::string(5000, 'x') + "; export it again");
  CHECK(line.size() == 300);
  CHECK(line.starts_with("begin xxx"));
  CHECK(line.ends_with("xxx; export it again"));
  CHECK(line.find(" ... ") != std::string::npos);
  std::string letters;
  for (int i = 0; i < 1000; ++i) letters += "\xC3\xA9";
  CHECK(one_line(letters).size() == 2 * 295 + 5);
  CHECK(one_line(std::string(300, 'x')) == std::string(300, 'x'));
}

TEST_CASE("a very long text gives the line of its begin and end, wherever its characters lie") {
  std::string letters;
  for (int i = 0; i < 5000; ++i) letters += "\xE4\xB8\xAD";
  for (std::size_t shift = 0; shift < 3; ++shift) {
    const std::string text = std::string(shift, 'x') + letters + std::string(shift, 'y');
    const std::string line = one_line(text);
    CHECK(line.find("\\x") == std::string::npos);  // no character was cut
    CHECK(line.size() == 2 * shift + 3 * (295 - 2 * shift) + 5);
  }
}
