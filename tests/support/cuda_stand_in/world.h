// The state of the stand-in: settings, the record of calls, detected faults, requested failures.
#pragma once
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "abi.h"

struct Record {
  char kind;  // 'c' a call, 'r' work that ran, 'm' a mark
  std::string name;
  Handle stream;
  std::size_t size;
  int result;
};

struct Failure {
  std::string name;
  unsigned after;  // calls that succeed before
  unsigned times;
  int error;
};

struct Settings {
  int devices = 1, major = 8, minor = 9, version = 13000, eager = 0;
  std::size_t memory = std::size_t{8} << 30;
  unsigned while_limit = 100000;
  char name[256] = "Stand-in GPU";
};

struct World {
  std::recursive_mutex mutex;
  Settings settings;
  std::vector<Record> records;
  std::vector<std::string> faults;
  std::vector<Failure> failures;
  bool initialized = false;
  int sticky = 0;         // as in the driver: all calls of the process (here: the test) return it
  Handle next = 0x10000;  // handles are never reused in a process
  Handle first_of_test = 0x10000;
};

inline World world;
inline thread_local int device_of_thread = -1;  // the device whose primary context is current

inline int fault(const std::string& what, int error) {
  world.faults.push_back(what);
  return error;
}

// For functions that a driver has since `version`. A program that finds them by name in an older one
// would get nothing.
inline int since(int version, const char* name) {
  if (world.settings.version >= version) return kSuccess;
  return fault(std::string(name) + " called in an older driver", kNotSupported);
}

inline Handle new_handle() { return world.next += 16; }

// Objects of one kind by handle. A handle of an earlier test is unknown, which is not a fault of
// this test.
template <class T>
struct Table {
  const char* kind;
  std::map<Handle, std::shared_ptr<T>> live = {};

  std::shared_ptr<T> find(Handle handle) {
    auto found = live.find(handle);
    if (found != live.end()) return found->second;
    if (handle >= world.first_of_test)
      fault(std::string(kind) + " used that is destroyed or was never made", 0);
    return nullptr;
  }
  std::shared_ptr<T> add(std::shared_ptr<T> object) {
    object->handle = new_handle();
    return live[object->handle] = object;
  }
  int drop(Handle handle) {
    auto found = live.find(handle);
    if (found == live.end() && handle < world.first_of_test) return kSuccess;
    if (found == live.end()) return fault(std::string(kind) + " destroyed twice", kInvalidHandle);
    auto object = found->second;  // destroyed after this, because it may call the driver
    live.erase(found);
    return kSuccess;
  }
  void clear() { std::exchange(live, {}); }
};

inline int failure_of(const std::string& name) {
  for (auto& failure : world.failures) {
    if (failure.name != name || failure.times == 0) continue;
    if (failure.after) {
      --failure.after;
      continue;
    }
    --failure.times;
    return failure.error;
  }
  return kSuccess;
}

// True for calls that free resources even if the device has failed.
inline bool gives_back(const std::string& name) {
  for (const char* word : {"Free", "Destroy", "Unload", "Release"})
    if (name.find(word) != std::string::npos) return true;
  return false;
}

// True for calls that a failed device accepts.
inline bool is_about_host(const std::string& name) {
  for (const char* word : {"cuCtxGetCurrent", "cuCtxSetCurrent", "cuDevice", "UserObject"})
    if (name.find(word) != std::string::npos) return true;
  return false;
}

// One call of the driver: recorded, and refused if a test requested a failure or the device failed.
template <class Body>
int call(const char* name, Handle stream, std::size_t size, Body body) {
  std::lock_guard lock(world.mutex);
  std::size_t index = world.records.size();
  world.records.push_back({'c', name, stream, size, 0});
  int result = failure_of(name);
  if (!result && !world.initialized)
    result = fault(std::string(name) + " before cuInit", kNotInitialized);
  if (!result && (!world.sticky || gives_back(name) || is_about_host(name))) result = body();
  if (!result && !is_about_host(name)) result = world.sticky;
  if (index < world.records.size()) world.records[index].result = result;
  return result;
}

// Likewise, for a call that needs a current context.
template <class Body>
int in_context(const char* name, Handle stream, std::size_t size, Body body) {
  return call(name, stream, size, [&] {
    if (device_of_thread < 0)
      return fault(std::string(name) + " without a current context", kInvalidContext);
    return body();
  });
}
