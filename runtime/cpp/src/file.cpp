#include "file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>

#ifndef _WIN32
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#endif
#ifdef __linux__
#include <sys/vfs.h>
#endif

#include "error.hpp"

namespace ddpm_rt {
namespace {

namespace fs = std::filesystem;

using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;

[[noreturn]] void refuse(const std::string& path, const std::string& why, const std::string& kind) {
  bad_file(path + " " + why + "; name " + kind);
}

struct OpenFile {
  File file;
  std::uintmax_t size;
};

#ifdef _WIN32

OpenFile open_regular(const std::string& path, const std::string& kind) {
  std::error_code failed;
  const fs::path name = path_of(path);
  const auto status = fs::status(name, failed);
  if (!fs::exists(status)) refuse(path, "cannot be read: there is no such file", kind);
  if (!fs::is_regular_file(status)) refuse(path, "is not a regular file", kind);
  File file(_wfopen(name.c_str(), L"rb"), &std::fclose);
  const auto size = fs::file_size(name, failed);
  if (!file || failed) refuse(path, "cannot be read", kind);
  return {std::move(file), size};
}

#else

bool is_virtual([[maybe_unused]] int descriptor) {
#ifdef __linux__
  constexpr long PROC = 0x9FA0, SYSFS = 0x62656572;  // linux/magic.h
  struct statfs system = {};
  if (::fstatfs(descriptor, &system) != 0) return false;
  const auto type = static_cast<long>(system.f_type);
  return type == PROC || type == SYSFS;
#else
  return false;
#endif
}

// O_NONBLOCK: opening a pipe would otherwise wait for a writer.
OpenFile open_regular(const std::string& path, const std::string& kind) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (descriptor < 0) {
    const int reason = errno;
    refuse(path, std::string("cannot be read: ") + std::strerror(reason), kind);
  }
  File file(::fdopen(descriptor, "rb"), &std::fclose);
  if (!file) {
    ::close(descriptor);
    refuse(path, "cannot be read", kind);
  }
  struct stat status = {};
  if (::fstat(descriptor, &status) != 0) refuse(path, "cannot be read", kind);
  if (S_ISDIR(status.st_mode)) refuse(path, "is a folder", kind);
  if (!S_ISREG(status.st_mode) || is_virtual(descriptor))
    refuse(path, "is not a regular file", kind);
  return {std::move(file), static_cast<std::uintmax_t>(status.st_size)};
}

#endif

OpenFile open_checked(const std::string& path, std::uintmax_t most, const std::string& kind) {
  OpenFile opened = open_regular(path, kind);
  if (opened.size == 0) refuse(path, "is empty", kind);
  if (opened.size > most)
    refuse(path, "has more than " + std::to_string(most >> 20) + " MiB", kind);
  return opened;
}

std::string read_up_to(const OpenFile& opened, std::size_t count) {
  std::string text(count, '\0');
  text.resize(std::fread(text.data(), 1, count, opened.file.get()));
  return text;
}

}  // namespace

fs::path path_of(const std::string& path) {
#ifdef _WIN32
  return fs::path(std::u8string(path.begin(), path.end()));
#else
  return fs::path(path);
#endif
}

std::uintmax_t checked_size(const std::string& path, std::uintmax_t most, const std::string& kind) {
  return open_checked(path, most, kind).size;
}

std::string read_file(const std::string& path, std::size_t most, const std::string& kind) {
  const OpenFile opened = open_checked(path, most, kind);
  auto text = read_up_to(opened, static_cast<std::size_t>(opened.size));
  if (text.size() != opened.size) refuse(path, "cannot be read to its end", kind);
  return text;
}

std::string read_beginning(const std::string& path, std::size_t count) {
  constexpr auto ANY = std::numeric_limits<std::uintmax_t>::max();
  return read_up_to(open_checked(path, ANY, "a model"), count);
}

}  // namespace ddpm_rt
