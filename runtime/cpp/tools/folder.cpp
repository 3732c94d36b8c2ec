#include "folder.hpp"

#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <utility>

#include "file.hpp"
#include "replace_file.hpp"

namespace {

namespace fs = std::filesystem;

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

SampleFolder::SampleFolder(std::string path, std::unique_ptr<SampleFormat> format, Texts texts,
                           const Samples& samples)
    : made_(std::move(path)),
      format_(std::move(format)),
      texts_(std::move(texts)),
      samples_(samples),
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

void SampleFolder::write(std::uint64_t first, std::span<const float> values) {
  const std::size_t size = format_->numbers();
  for (std::size_t i = 0; i * size < values.size(); ++i) {
    const std::uint64_t sample = first + i;
    const auto one = values.subspan(i * size, size);
    replace_file(file_of(sample), format_->encoded(one, texts_of(sample)));
    ++kept_;
  }
}

std::string SampleFolder::file_of(std::uint64_t sample) const {
  char name[40];
  std::snprintf(name, sizeof name, "%06llu%s", static_cast<unsigned long long>(sample),
                format_->suffix());
  return (ddpm_rt::path_of(made_.path()) / name).string();
}

Texts SampleFolder::texts_of(std::uint64_t sample) const {
  Texts texts = texts_;
  texts.emplace_back("ddpm-rt.sample", std::to_string(sample));
  return texts;
}

FolderOwner::Work SampleFolder::work() const {
  FolderOwner::Work work = format_->shared_facts();
  work.insert(texts_.begin(), texts_.end());
  return work;
}

bool SampleFolder::is_there(std::uint64_t sample) {
  const std::string path = file_of(sample);
  const fs::path name = ddpm_rt::path_of(path);
  std::error_code failed;
  const auto status = fs::status(name, failed);
  if (!fs::exists(status)) return false;
  const std::size_t most = format_->most_bytes();
  const auto size = fs::is_regular_file(status) ? fs::file_size(name, failed) : most + 1;
  if (size > most || failed)
    throw std::runtime_error(path + " is not a picture of this size; use another folder");
  const std::string bytes = size == 0 ? "" : ddpm_rt::read_beginning(path, most);
  const auto [facts, is_whole] = format_->read(path, bytes);
  SampleFormat::Facts wanted = format_->wanted_facts();
  for (const auto& [key, value] : texts_of(sample)) wanted[key] = value;
  for (const auto& [key, value] : wanted) {
    const auto found = facts.find(key);
    const std::string other = found == facts.end() ? "unknown" : found->second;
    if (found == facts.end() ? is_whole : other != value)
      throw std::runtime_error(path + " is another image (" + without_prefix(key) + " " + other +
                               ", not " + value + "); use another folder");
  }
  damaged_ += is_whole ? 0 : 1;
  return is_whole;
}
