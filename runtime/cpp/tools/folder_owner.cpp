#include "folder_owner.hpp"

#include <cstdio>
#include <stdexcept>
#include <utility>

#ifndef _WIN32
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <nlohmann/json.hpp>
#include <thread>

#include "interrupt.hpp"
#include "one_line.hpp"
#endif

#ifdef _WIN32  // without these locks, as in Python

LockFile::LockFile(std::string path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {}
LockFile::LockFile(LockFile&& other) noexcept : path_(other.path_), descriptor_(-1) {}
LockFile::~LockFile() = default;

FolderOwner::FolderOwner(const std::string&, const Work&, const std::string&)
    : common_("", -1), own_("", -1) {}

#else

namespace {

using Json = nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr std::size_t LARGEST = 1 << 16;  // most bytes that are read from a lock file
constexpr std::size_t SHOWN = 120;        // most characters of a value in a message
constexpr auto PAUSE = std::chrono::milliseconds(10);
constexpr auto PATIENCE = std::chrono::seconds(5);  // the common file is locked while it is written

enum class Lock { HELD_BY_OTHER, HELD, NONE };

Lock lock(int descriptor, int mode) {
  if (::flock(descriptor, mode | LOCK_NB) == 0) return Lock::HELD;
  const bool is_held = errno == EWOULDBLOCK || errno == EAGAIN || errno == EACCES;
  return is_held ? Lock::HELD_BY_OTHER : Lock::NONE;
}

bool is_linked(int descriptor) {
  struct stat status = {};
  return ::fstat(descriptor, &status) == 0 && status.st_nlink != 0;
}

int open_lock(const std::string& path) {
  const int descriptor =
      ::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666);
  if (descriptor < 0)
    throw std::runtime_error(path + " cannot be written: " + std::strerror(errno));
  struct stat status = {};
  if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode)) return descriptor;
  ::close(descriptor);
  throw std::runtime_error(path + " is not a regular file; remove it, or use another folder");
}

// On a full disk the lock still holds, and only the messages of others say less.
void write_record(int descriptor, const Json& work) {
  Json record;
  record["pid"] = ::getpid();
  record["command"] = "ddpm-rt-cpp";
  record["work"] = work;
  const std::string text = record.dump();
  if (::ftruncate(descriptor, 0) == 0) [[maybe_unused]]
    const auto written = ::pwrite(descriptor, text.data(), text.size(), 0);
}

Json read_record(int descriptor) {
  std::string text(LARGEST, '\0');
  const auto size = ::pread(descriptor, text.data(), text.size(), 0);
  text.resize(size < 0 ? 0 : static_cast<std::size_t>(size));
  Json record = Json::parse(text, nullptr, false);
  return record.is_object() ? record : Json::object();
}

// The file is untrusted: any user may have written into it.
std::string shown(const Json& record, const char* key) {
  const auto found = record.find(key);
  if (found == record.end()) return "unknown";
  return ddpm_rt::one_line(found->is_string() ? found->get<std::string>() : found->dump(), SHOWN);
}

std::string process_of(const Json& record) {
  return "process " + shown(record, "pid") + " (" + shown(record, "command") + ")";
}

[[noreturn]] void refuse(const std::string& folder, const Json& record, const Json& work) {
  std::string difference;
  const Json theirs = record.value("work", Json());
  for (const auto& [key, value] : work.items())
    if (difference.empty() && theirs.is_object() && theirs.contains(key) && theirs[key] != value)
      difference = " with " + key.substr(key.starts_with("ddpm-rt.") ? 8 : 0) + " " +
                   shown(theirs, key.c_str()) + ", not " + shown(work, key.c_str());
  throw std::runtime_error(folder + " is in use by " + process_of(record) + difference +
                           "; wait for it, or use another folder");
}

// Shares the common lock file with processes of the same work. The first one writes the work into it.
LockFile join(const std::string& folder, const Json& work) {
  const std::string path = folder + "/.ddpm-rt.lock";
  for (const auto end = Clock::now() + PATIENCE;;) {
    const int descriptor = open_lock(path);
    const Lock first = lock(descriptor, LOCK_EX);
    if (first == Lock::NONE) {
      ::close(descriptor);
      ::unlink(path.c_str());
      return {path, -1};
    }
    if (first == Lock::HELD) write_record(descriptor, work);
    // The change is not atomic: another process may lock in between.
    const bool is_shared = lock(descriptor, LOCK_SH) == Lock::HELD;
    const Json record = read_record(descriptor);
    if (is_shared && is_linked(descriptor) && record.value("work", Json()) == work)
      return {path, descriptor};
    const bool is_other = is_shared && is_linked(descriptor);
    ::close(descriptor);
    if (is_other || (!is_shared && Clock::now() > end)) refuse(folder, record, work);
    std::this_thread::sleep_for(PAUSE);
  }
}

// Holds the lock file of a part, after any other process.
LockFile wait_for(const std::string& path) {
  bool said = false;
  for (;;) {
    const int descriptor = open_lock(path);
    const Lock found = lock(descriptor, LOCK_EX);
    if (found != Lock::HELD_BY_OTHER && is_linked(descriptor)) {
      write_record(descriptor, Json::object());
      return {path, descriptor};
    }
    if (found == Lock::HELD_BY_OTHER && !said) {
      said = true;
      std::fprintf(stderr, "waiting for %s, which runs the same command\n",
                   process_of(read_record(descriptor)).c_str());
    }
    ::close(descriptor);
    if (interrupted_by() != 0) throw Interrupted{"no file was written"};
    std::this_thread::sleep_for(PAUSE);
  }
}

LockFile own(const std::string& folder, const std::string& part, bool has_locks) {
  if (has_locks) return wait_for(folder + "/.ddpm-rt." + part + ".lock");
  std::fprintf(stderr,
               "note: %s is on a file system without locks; do not run a second command in it at "
               "the same time\n",
               ddpm_rt::one_line(folder).c_str());
  return {"", -1};
}

}  // namespace

LockFile::LockFile(std::string path, int descriptor)
    : path_(std::move(path)), descriptor_(descriptor) {}

LockFile::LockFile(LockFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

LockFile::~LockFile() {
  if (descriptor_ < 0) return;
  if (lock(descriptor_, LOCK_EX) != Lock::HELD_BY_OTHER && is_linked(descriptor_))
    ::unlink(path_.c_str());
  ::close(descriptor_);
}

FolderOwner::FolderOwner(const std::string& folder, const Work& work, const std::string& part)
    : common_(join(folder, work)), own_(own(folder, part, common_.is_held())) {}

#endif
