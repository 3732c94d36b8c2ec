#include "replace_file.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <stdexcept>

#ifdef _WIN32
#include <fstream>
#else
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#endif

namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const std::string& path, const std::string& why) {
  throw std::runtime_error(path + " cannot be written: " + why);
}

#ifdef _WIN32

void write_temporary(const std::string& path, const std::string& temporary,
                     const std::string& bytes) {
  std::ofstream file(temporary, std::ios::binary);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  file.close();
  if (!file) fail(path, "the disk may be full");
}

std::string temporary_beside(const std::string& path) { return path + ".tmp"; }

#else

void write_all(int descriptor, const std::string& path, const std::string& bytes) {
  std::size_t written = 0;
  while (written < bytes.size()) {
    const auto count = ::write(descriptor, bytes.data() + written, bytes.size() - written);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(path, std::strerror(errno));
    written += static_cast<std::size_t>(count);
  }
}

// The permissions of a new file: those that the umask of the program leaves.
void set_permissions(int descriptor) {
  const mode_t mask = ::umask(0);
  ::umask(mask);
  ::fchmod(descriptor, 0666 & ~mask);
}

// The name does not depend on the length of `path`, which may be as long as a name can be.
std::string temporary_beside(const std::string& path) {
  return (fs::path(path).parent_path() / ".ddpm-rt-XXXXXX").string();
}

void write_temporary(const std::string& path, std::string& temporary, const std::string& bytes) {
  const int descriptor = ::mkstemp(temporary.data());
  if (descriptor < 0) fail(path, std::strerror(errno));
  try {
    write_all(descriptor, path, bytes);
    set_permissions(descriptor);
    if (::fsync(descriptor) != 0) fail(path, std::strerror(errno));
  } catch (...) {
    ::close(descriptor);
    throw;
  }
  if (::close(descriptor) != 0) fail(path, std::strerror(errno));
}

#endif

}  // namespace

void check_target(const std::string& path) {
  std::error_code failed;
  const auto status = fs::status(path, failed);
  if (fs::exists(status) && !fs::is_regular_file(status))
    fail(path, "it exists and is not a regular file");
  const fs::path folder = fs::path(path).parent_path();
  if (!folder.empty() && !fs::is_directory(folder, failed))
    fail(path, folder.string() + " is not a folder; make it first");
}

void replace_file(const std::string& path, const std::string& bytes) {
  check_target(path);
  std::error_code failed;
  std::string temporary = temporary_beside(path);
  try {
    write_temporary(path, temporary, bytes);
    fs::rename(temporary, path, failed);
    if (failed) fail(path, failed.message());
  } catch (...) {
    fs::remove(temporary, failed);
    throw;
  }
}
