// A folder with one file for each sample: a PNG, or an .npz of what is no picture. It grows batch by
// batch, and the same command resumes it. runtime/ddpm_rt/images/folder.py is the counterpart, and
// resumes the same folders.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "folder_owner.hpp"
#include "png_file.hpp"
#include "shard.hpp"

// How a sample is written as a file.
class SampleFormat {
 public:
  using Facts = std::map<std::string, std::string>;
  struct Found {
    Facts facts;    // its texts, and facts about the file
    bool is_whole;  // else the file is damaged
  };

  virtual ~SampleFormat() = default;
  virtual const char* suffix() const = 0;
  virtual std::size_t most_bytes() const = 0;  // of a file
  // The facts about a file that all writers of the folder must share.
  virtual Facts shared_facts() const { return {}; }
  // All facts that a file must have besides its texts.
  virtual Facts wanted_facts() const = 0;
  virtual std::size_t numbers() const = 0;  // of a sample
  // The bytes of a file. Throws std::runtime_error.
  virtual std::string encoded(std::span<const float> sample, const Texts& texts) const = 0;
  // What a file has. Throws std::runtime_error for a file of another kind, which stays.
  virtual Found read(const std::string& path, std::string_view bytes) const = 0;
};

// PNG files of pictures [C, H, W], with `scale` x `scale` pixels for each.
std::unique_ptr<SampleFormat> png_format(std::vector<std::size_t> shape, std::size_t scale);
// .npz files of arrays of this shape.
std::unique_ptr<SampleFormat> npz_format(std::vector<std::size_t> shape);

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
  // Makes the folder, for samples with these texts, and keeps other requests out of it. Throws
  // std::runtime_error.
  SampleFolder(std::string path, std::unique_ptr<SampleFormat> format, Texts texts,
               const Samples& samples);

  // The samples to draw, as ranges of at most `batch`. Throws std::runtime_error if the file of a
  // sample holds another image.
  std::vector<Samples> missing(std::uint64_t batch);

  // Writes samples [N, ...] from sample `first` on. Throws std::runtime_error.
  void write(std::uint64_t first, std::span<const float> values);

  std::uint64_t kept() const { return kept_; }        // complete files
  std::uint64_t damaged() const { return damaged_; }  // files whose samples are drawn again

 private:
  std::string file_of(std::uint64_t sample) const;
  Texts texts_of(std::uint64_t sample) const;
  FolderOwner::Work work() const;
  bool is_there(std::uint64_t sample);

  MadeFolder made_;
  std::unique_ptr<SampleFormat> format_;
  Texts texts_;
  Samples samples_;
  std::uint64_t kept_ = 0, damaged_ = 0;
  FolderOwner owner_;
};
