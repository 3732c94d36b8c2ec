// Ownership of an output folder: commands that do the same work share the folder, and every other
// command is refused. runtime/ddpm_rt/artifacts/folder_owner.py is the counterpart, and shares
// folders with this.
#pragma once

#include <map>
#include <string>

// A lock file, which the last holder removes.
class LockFile {
 public:
  LockFile(std::string path, int descriptor);
  LockFile(LockFile&& other) noexcept;
  LockFile(const LockFile&) = delete;
  LockFile& operator=(const LockFile&) = delete;
  LockFile& operator=(LockFile&&) = delete;
  ~LockFile();
  bool is_held() const { return descriptor_ >= 0; }

 private:
  std::string path_;
  int descriptor_;  // -1: no lock
};

class FolderOwner {
 public:
  using Work = std::map<std::string, std::string>;

  // Waits for a process that does the same `part` of the same work. Throws std::runtime_error while
  // the folder belongs to other work. Where the file system has no locks, nothing is refused, and a
  // note says so.
  FolderOwner(const std::string& folder, const Work& work, const std::string& part);

 private:
  LockFile common_, own_;
};
