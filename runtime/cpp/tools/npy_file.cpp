#include "npy_file.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include "file.hpp"
#include "replace_file.hpp"

namespace {

static_assert(std::endian::native == std::endian::little,
              "numbers in the order of the machine are read and written as little-endian");

constexpr std::size_t MAX_HEADER_BYTES = 10'000;  // NumPy's own limit
constexpr std::size_t MAX_NUMBERS = std::size_t{1} << 27;
constexpr std::size_t MAX_BYTES = MAX_HEADER_BYTES + 12 + 8 * MAX_NUMBERS;
constexpr std::string_view MAGIC("\x93NUMPY", 6);
constexpr const char* KIND = "an .npy file that numpy.save wrote";

[[noreturn]] void fail(const std::string& path, const std::string& why) {
  throw std::runtime_error(path + " cannot be read as an array of numbers: " + why +
                           "; write it with numpy.save");
}

struct Header {
  std::string type;  // as '<f4'
  bool fortran = false;
  std::vector<std::size_t> shape;
};

// The text {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }, a literal of Python.
class HeaderText {
 public:
  HeaderText(std::string_view text, const std::string& path) : text_(text), path_(path) {}

  Header read() {
    Header header;
    bool has_type = false, has_order = false, has_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string key = quoted();
      expect(':');
      if (key == "descr" && !has_type) {
        header.type = quoted(), has_type = true;
      } else if (key == "fortran_order" && !has_order) {
        header.fortran = truth(), has_order = true;
      } else if (key == "shape" && !has_shape) {
        header.shape = counts(), has_shape = true;
      } else {
        damaged();
      }
      if (!accept(',') && peek() != '}') damaged();
    }
    if (peek() != '\0' || !has_type || !has_order || !has_shape) damaged();
    return header;
  }

 private:
  [[noreturn]] void damaged() const { fail(path_, "damaged header"); }

  // The next letter that is no space; NUL at the end.
  char peek() {
    while (!text_.empty() && (text_[0] == ' ' || text_[0] == '\n' || text_[0] == '\t'))
      text_.remove_prefix(1);
    return text_.empty() ? '\0' : text_[0];
  }
  bool accept(char letter) {
    if (peek() != letter || text_.empty()) return false;
    text_.remove_prefix(1);
    return true;
  }
  void expect(char letter) {
    if (!accept(letter)) damaged();
  }

  std::string quoted() {
    const char mark = peek();
    const auto end = mark == '\'' || mark == '"' ? text_.find(mark, 1) : text_.npos;
    if (end == text_.npos) damaged();
    std::string word(text_.substr(1, end - 1));
    text_.remove_prefix(end + 1);
    return word;
  }
  bool truth() {
    peek();
    for (const std::string_view word : {"True", "False"})
      if (text_.starts_with(word)) {
        text_.remove_prefix(word.size());
        return word == "True";
      }
    damaged();
  }
  std::vector<std::size_t> counts() {
    std::vector<std::size_t> found;
    expect('(');
    while (!accept(')')) {
      std::size_t count = 0, digits = 0;
      for (peek(); !text_.empty() && text_[0] >= '0' && text_[0] <= '9' && digits < 18; ++digits) {
        count = 10 * count + static_cast<std::size_t>(text_[0] - '0');
        text_.remove_prefix(1);
      }
      if (digits == 0 || (!accept(',') && peek() != ')')) damaged();
      found.push_back(count);
    }
    return found;
  }

  std::string_view text_;
  const std::string& path_;
};

// IEEE 754 binary16.
double half(std::uint16_t bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double size = exponent == 0    ? std::ldexp(fraction, -24)
                      : exponent == 31 ? (fraction == 0 ? HUGE_VAL : NAN)
                                       : std::ldexp(1024 + fraction, exponent - 25);
  return bits >> 15 != 0 ? -size : size;
}

template <class T>
double number_at(const char* bytes, bool swapped) {
  char raw[sizeof(T)];
  std::memcpy(raw, bytes, sizeof raw);
  if (swapped) std::reverse(raw, raw + sizeof raw);
  T value;
  std::memcpy(&value, raw, sizeof value);
  return static_cast<double>(value);
}

using ReadNumber = double (*)(const char* bytes, bool swapped);

struct NumberType {
  const char* name;
  std::size_t size;
  ReadNumber read;
};
constexpr NumberType TYPES[] = {
    {"f4", 4, number_at<float>},
    {"f8", 8, number_at<double>},
    {"f2", 2,
     [](const char* bytes, bool swapped) {
       return half(static_cast<std::uint16_t>(number_at<std::uint16_t>(bytes, swapped)));
     }},
    {"i1", 1, number_at<std::int8_t>},
    {"i2", 2, number_at<std::int16_t>},
    {"i4", 4, number_at<std::int32_t>},
    {"i8", 8, number_at<std::int64_t>},
    {"u1", 1, number_at<std::uint8_t>},
    {"u2", 2, number_at<std::uint16_t>},
    {"u4", 4, number_at<std::uint32_t>},
    {"u8", 8, number_at<std::uint64_t>},
    {"b1", 1, [](const char* bytes, bool) { return *bytes != 0 ? 1.0 : 0.0; }}};

const NumberType& type_of(const std::string& text, const std::string& path) {
  const bool has_order = !text.empty() && std::string_view("<>|=").find(text[0]) != text.npos;
  for (const NumberType& type : TYPES)
    if (text.substr(has_order ? 1 : 0) == type.name) return type;
  fail(path, "the type " + text.substr(0, 20) + " is not a plain number type");
}

// Splits the content of a file. `content` becomes the bytes of the numbers.
Header take_header(std::string_view& content, const std::string& path) {
  if (!content.starts_with(MAGIC) || content.size() < 12) fail(path, "damaged header");
  const auto byte = [&](std::size_t i) {
    return std::size_t{static_cast<unsigned char>(content[i])};
  };
  const bool is_long = byte(6) == 2;  // of version 2, whose length has four bytes
  if ((byte(6) != 1 && !is_long) || byte(7) != 0)
    fail(path, "this version of the format is not supported");
  const std::size_t begin = is_long ? 12 : 10;
  const std::size_t size = byte(8) | byte(9) << 8 | (is_long ? byte(10) << 16 | byte(11) << 24 : 0);
  if (size > MAX_HEADER_BYTES || content.size() < begin + size) fail(path, "damaged header");
  Header header = HeaderText(content.substr(begin, size), path).read();
  content.remove_prefix(begin + size);
  return header;
}

std::size_t count_of(const std::vector<std::size_t>& shape, const std::string& path) {
  std::size_t count = 1;
  for (const std::size_t side : shape) {
    if (side != 0 && count > MAX_NUMBERS / side)
      fail(path, "more numbers than the limit of " + std::to_string(MAX_NUMBERS));
    count *= side;
  }
  return count;
}

// From an order in which the first index is the fastest.
std::vector<double> in_c_order(const std::vector<double>& numbers,
                               const std::vector<std::size_t>& shape) {
  std::vector<double> sorted(numbers.size());
  std::vector<std::size_t> index(shape.size(), 0);
  for (const double number : numbers) {
    std::size_t place = 0;
    for (std::size_t axis = 0; axis < shape.size(); ++axis)
      place = place * shape[axis] + index[axis];
    sorted[place] = number;
    for (std::size_t axis = 0; axis < shape.size() && ++index[axis] == shape[axis]; ++axis)
      index[axis] = 0;
  }
  return sorted;
}

}  // namespace

Array read_npy(const std::string& path) {
  const std::string file = ddpm_rt::read_file(path, MAX_BYTES, KIND);
  std::string_view content = file;
  const Header header = take_header(content, path);
  const NumberType& type = type_of(header.type, path);
  const std::size_t count = count_of(header.shape, path);
  if (count * type.size != content.size())
    fail(path, "the size of the file does not match its shape");
  Array array = {header.shape, {}};
  array.numbers.reserve(count);
  for (std::size_t i = 0; i < count; ++i)
    array.numbers.push_back(type.read(content.data() + i * type.size, header.type[0] == '>'));
  if (header.fortran) array.numbers = in_c_order(array.numbers, array.shape);
  return array;
}

std::string text_of(const std::vector<std::size_t>& shape) {
  std::string text;
  for (const std::size_t side : shape) text += (text.empty() ? "" : ", ") + std::to_string(side);
  return "[" + text + "]";
}

std::string npy_bytes(const std::vector<std::size_t>& shape, std::span<const float> numbers) {
  std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (";
  for (std::size_t i = 0; i < shape.size(); ++i)
    header += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  header += shape.size() == 1 ? ",), }" : "), }";
  // the data begin at a multiple of 64
  header.resize((10 + header.size() + 1 + 63) / 64 * 64 - 10 - 1, ' ');
  header += '\n';
  std::string bytes(MAGIC);
  bytes += std::string("\x01\x00", 2);
  bytes += static_cast<char>(header.size() & 255);
  bytes += static_cast<char>(header.size() >> 8);
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(numbers.data()), numbers.size_bytes());
  return bytes;
}

void write_npy(const std::string& path, const std::vector<std::size_t>& shape,
               std::span<const float> numbers) {
  replace_file(path, npy_bytes(shape, numbers));
}
