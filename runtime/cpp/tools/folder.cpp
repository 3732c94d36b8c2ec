#include "folder.hpp"

#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include "file.hpp"
#include "picture.hpp"
#include "replace_file.hpp"

namespace {

namespace fs = std::filesystem;

constexpr std::size_t TEXT_BYTES = 1 << 20;  // most bytes of a PNG besides its pixels
constexpr const char *SIZE = "size", *MODE = "mode";

std::string size_text(std::size_t width, std::size_t height) {
  return std::to_string(width) + " x " + std::to_string(height);
}

// The type of a PNG's pixels, by the names of Pillow.
std::string mode_of(const PngFacts& facts) {
  if (facts.depth == 8 && facts.color == 0) return "L";
  return facts.depth == 8 && facts.color == 2 ? "RGB" : "of another type";
}

std::string without_prefix(const std::string& key) {
  return key.substr(key.starts_with("ddpm-rt.") ? 8 : 0);
}

}  // namespace

MadeFolder::MadeFolder(std::string path) : path_(std::move(path)) {
  std::error_code failed;
  is_new_ = fs::create_directories(ddpm_rt::path_of(path_), failed);
  if (failed) throw std::runtime_error(path_ + " cannot be made: " + failed.message());
}

MadeFolder::~MadeFolder() {
  std::error_code failed;  // of a folder that is not empty
  if (is_new_) fs::remove(ddpm_rt::path_of(path_), failed);
}

SampleFolder::SampleFolder(std::string path, PngTexts texts, std::vector<std::size_t> shape,
                           const Samples& samples, std::size_t scale)
    : made_(std::move(path)),
      texts_(std::move(texts)),
      shape_(std::move(shape)),
      samples_(samples),
      scale_(scale),
      owner_(made_.path(), work(),
             std::to_string(samples.first) + "-" +
                 std::to_string(samples.first + (samples.count - 1))) {}

std::vector<Samples> SampleFolder::missing(std::uint64_t batch) {
  kept_ = damaged_ = 0;
  std::vector<Samples> ranges;
  for (std::uint64_t i = 0; i < samples_.count; ++i) {
    const std::uint64_t sample = samples_.first + i;
    if (is_there(sample)) {
      ++kept_;
    } else if (!ranges.empty() && ranges.back().count < batch &&
               ranges.back().first + ranges.back().count == sample) {
      ++ranges.back().count;
    } else {
      ranges.push_back({sample, 1});
    }
  }
  return ranges;
}

void SampleFolder::write(std::uint64_t first, std::span<const float> pictures) {
  const std::size_t size = shape_[0] * shape_[1] * shape_[2];
  for (std::size_t i = 0; i * size < pictures.size(); ++i) {
    const Images one = {pictures.subspan(i * size, size), shape_, 1, true};
    write_png(file_of(first + i), one, scale_, texts_of(first + i));
    ++kept_;
  }
}

std::string SampleFolder::file_of(std::uint64_t sample) const {
  char name[40];
  std::snprintf(name, sizeof name, "%06llu.png", static_cast<unsigned long long>(sample));
  return (ddpm_rt::path_of(made_.path()) / name).string();
}

PngTexts SampleFolder::texts_of(std::uint64_t sample) const {
  PngTexts texts = texts_;
  texts.emplace_back("ddpm-rt.sample", std::to_string(sample));
  return texts;
}

FolderOwner::Work SampleFolder::format() const {
  return {{SIZE, size_text(shape_[2] * scale_, shape_[1] * scale_)},
          {MODE, shape_[0] == 1 ? "L" : "RGB"}};
}

FolderOwner::Work SampleFolder::work() const {
  FolderOwner::Work work = format();
  work.insert(texts_.begin(), texts_.end());
  return work;
}

// After a crash a file may have its texts but not its pixels.
bool SampleFolder::is_there(std::uint64_t sample) {
  const std::string path = file_of(sample);
  const fs::path name = ddpm_rt::path_of(path);
  std::error_code failed;
  const auto status = fs::status(name, failed);
  if (!fs::exists(status)) return false;
  const std::size_t most = 2 * shape_[0] * shape_[1] * shape_[2] * scale_ * scale_ + TEXT_BYTES;
  const auto size = fs::is_regular_file(status) ? fs::file_size(name, failed) : most + 1;
  if (size > most || failed)
    throw std::runtime_error(path + " is not a picture of this size; use another folder");
  const std::string bytes = size == 0 ? "" : ddpm_rt::read_beginning(path, most);
  if (!PNG_SIGNATURE.starts_with(bytes.substr(0, PNG_SIGNATURE.size())))
    throw std::runtime_error(path + " is not a PNG of ddpm-rt; use another folder");
  PngFacts facts = read_png_facts(bytes);
  const bool is_whole = facts.is_whole && can_decode(bytes);
  if (facts.width != 0) {
    facts.texts[SIZE] = size_text(facts.width, facts.height);
    facts.texts[MODE] = mode_of(facts);
  }
  FolderOwner::Work wanted = format();
  for (const auto& [key, value] : texts_of(sample)) wanted[key] = value;
  for (const auto& [key, value] : wanted) {
    const auto found = facts.texts.find(key);
    const std::string other = found == facts.texts.end() ? "unknown" : found->second;
    if (found == facts.texts.end() ? is_whole : other != value)
      throw std::runtime_error(path + " is another image (" + without_prefix(key) + " " + other +
                               ", not " + value + "); use another folder");
  }
  damaged_ += is_whole ? 0 : 1;
  return is_whole;
}
