#include <stdexcept>
#include <utility>

#include "folder.hpp"
#include "npy_file.hpp"
#include "npz_file.hpp"
#include "output.hpp"
#include "picture.hpp"

namespace {

constexpr std::size_t TEXT_BYTES = 1 << 20;  // most bytes of a file besides its pixels or numbers
constexpr const char *SIZE = "size", *MODE = "mode";

std::size_t numbers_of(const std::vector<std::size_t>& shape) {
  std::size_t count = 1;
  for (const std::size_t side : shape) count *= side;
  return count;
}

std::string size_text(std::size_t width, std::size_t height) {
  return std::to_string(width) + " x " + std::to_string(height);
}

// The type of a PNG's pixels, by the names of Pillow.
std::string mode_of(const PngFacts& facts) {
  if (facts.depth == 8 && facts.color == 0) return "L";
  return facts.depth == 8 && facts.color == 2 ? "RGB" : "of another type";
}

class PngFormat final : public SampleFormat {
 public:
  PngFormat(std::vector<std::size_t> shape, std::size_t scale)
      : shape_(std::move(shape)), scale_(scale) {}

  const char* suffix() const override { return ".png"; }
  std::size_t numbers() const override { return numbers_of(shape_); }
  std::size_t most_bytes() const override { return 2 * numbers() * scale_ * scale_ + TEXT_BYTES; }
  Facts shared_facts() const override {
    return {{SIZE, size_text(shape_[2] * scale_, shape_[1] * scale_)},
            {MODE, shape_[0] == 1 ? "L" : "RGB"}};
  }
  Facts wanted_facts() const override { return shared_facts(); }

  std::string encoded(std::span<const float> sample, const Texts& texts) const override {
    return png_bytes({sample, shape_, 1, true}, scale_, texts);
  }

  // After a crash a file may have its texts but not its pixels.
  Found read(const std::string& path, std::string_view bytes) const override {
    if (!PNG_SIGNATURE.starts_with(bytes.substr(0, PNG_SIGNATURE.size())))
      throw std::runtime_error(path + " is not a PNG of ddpm-rt; use another folder");
    PngFacts png = read_png_facts(bytes);
    if (png.width != 0) {
      png.texts[SIZE] = size_text(png.width, png.height);
      png.texts[MODE] = mode_of(png);
    }
    return {png.texts, png.is_whole && can_decode(bytes)};
  }

 private:
  std::vector<std::size_t> shape_;
  std::size_t scale_;
};

class NpzFormat final : public SampleFormat {
 public:
  explicit NpzFormat(std::vector<std::size_t> shape) : shape_(std::move(shape)) {}

  const char* suffix() const override { return ".npz"; }
  std::size_t numbers() const override { return numbers_of(shape_); }
  std::size_t most_bytes() const override { return sizeof(float) * numbers() + TEXT_BYTES; }
  Facts wanted_facts() const override {
    const std::vector<float> zeros(numbers());
    return {{SIZE, std::to_string(npy_bytes(shape_, zeros).size())}};
  }

  std::string encoded(std::span<const float> sample, const Texts& texts) const override {
    return npz_bytes(shape_, sample, texts);
  }

  Found read(const std::string&, std::string_view bytes) const override {
    NpzFacts npz = read_npz_facts(bytes);
    if (npz.is_whole) npz.texts[SIZE] = std::to_string(npz.array_bytes);
    return {npz.texts, npz.is_whole};
  }

 private:
  std::vector<std::size_t> shape_;
};

}  // namespace

std::unique_ptr<SampleFormat> png_format(std::vector<std::size_t> shape, std::size_t scale) {
  return std::make_unique<PngFormat>(std::move(shape), scale);
}

std::unique_ptr<SampleFormat> npz_format(std::vector<std::size_t> shape) {
  return std::make_unique<NpzFormat>(std::move(shape));
}
