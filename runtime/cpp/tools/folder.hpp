// A folder with one PNG for each sample. It grows batch by batch, and the same command resumes it.
// runtime/ddpm_rt/images/folder.py is the counterpart, and resumes the same folders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "folder_owner.hpp"
#include "output.hpp"
#include "png_file.hpp"
#include "shard.hpp"

// A folder that is made, and removed again if it was new and nothing was written into it.
class MadeFolder {
 public:
  explicit MadeFolder(std::string path);
  MadeFolder(const MadeFolder&) = delete;
  MadeFolder& operator=(const MadeFolder&) = delete;
  ~MadeFolder();
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  bool is_new_;
};

class SampleFolder {
 public:
  // Makes the folder, for pictures of `shape` with these texts, and keeps other requests out of it.
  // Throws std::runtime_error.
  SampleFolder(std::string path, PngTexts texts, std::vector<std::size_t> shape,
               const Samples& samples, std::size_t scale);

  // The samples to draw, as ranges of at most `batch`. Throws std::runtime_error if the file of a
  // sample holds another image.
  std::vector<Samples> missing(std::uint64_t batch);

  // Writes pictures [N, C, H, W] from sample `first` on. Throws std::runtime_error.
  void write(std::uint64_t first, std::span<const float> pictures);

  std::uint64_t kept() const { return kept_; }        // complete files
  std::uint64_t damaged() const { return damaged_; }  // files whose samples are drawn again

 private:
  std::string file_of(std::uint64_t sample) const;
  PngTexts texts_of(std::uint64_t sample) const;
  FolderOwner::Work format() const;
  FolderOwner::Work work() const;
  bool is_there(std::uint64_t sample);

  MadeFolder made_;
  PngTexts texts_;
  std::vector<std::size_t> shape_;
  Samples samples_;
  std::size_t scale_;
  std::uint64_t kept_ = 0, damaged_ = 0;
  FolderOwner owner_;
};
