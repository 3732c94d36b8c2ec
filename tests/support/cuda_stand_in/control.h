// The interface of the stand-in for tests.
#pragma once
#include "capture_calls.h"
#include "executable_calls.h"
#include "graph_calls.h"

inline std::string answer;  // of the last query

extern "C" {

Settings* stand_in_settings() { return &world.settings; }

// Forgets the previous test. Objects that Python still holds are unknown from now on, which is not a
// fault.
void stand_in_reset() {
  std::lock_guard lock(world.mutex);
  for (auto& [handle, stream] : streams.live) stream->capture = nullptr;
  captures.clear(), default_streams.clear(), streams.clear(), events.clear();
  executables.clear(), graphs.clear(), bodies.clear(), nodes.clear();
  conditions.clear(), libraries.clear(), kernels.clear(), user_objects.clear();
  registered.clear();
  world.records.clear(), world.faults.clear(), world.failures.clear();
  world.sticky = 0, device_of_thread = -1, world.settings = Settings{},
  world.first_of_test = world.next + 1;
  forget_memory();
}

// format: P a pointer, I and i 32 bits, Q and q 64 bits, f and d floats.
int stand_in_register(const char* name, const char* format, HostKernel run, Extents extents) {
  auto code = std::make_shared<KernelCode>();
  code->name = name, code->run = run, code->extents = extents;
  for (; *format; ++format) {
    code->pointers.push_back(*format == 'P');
    code->sizes.push_back(*format == 'I' || *format == 'i' || *format == 'f' ? 4 : 8);
  }
  std::lock_guard lock(world.mutex);
  registered[name] = code;
  return kSuccess;
}

// Enqueues a function of the host as if it were a kernel; legal in a capture.
int stand_in_enqueue(Handle stream, const char* name, void (*function)(void*), void* user) {
  return in_context("stand_in_enqueue", stream, 0, [&]() -> int {
    if (auto found = stream_of(stream); found && found->capture && found->capture->invalid)
      return kCaptureInvalidated;
    return enqueue(stream, {name, kKernelNode, 0, {}, [=] {
                              function(user);
                              return kSuccess;
                            }});
  });
}

// The device function of that name, for running kernels.
void cudaGraphSetConditional(unsigned long long condition, unsigned value) {
  std::lock_guard lock(world.mutex);
  auto found = conditions.find(condition);
  if (found == conditions.end())
    fault("a condition set that no graph has", 0);
  else
    found->second.value = value;
}

// For kernels that check their own accesses; 0 if an access is valid.
int stand_in_touch(const char* who, Address at, std::size_t size) {
  std::lock_guard lock(world.mutex);
  std::string wrong = trouble_of_parameter(at, size);
  return wrong.empty() ? kSuccess : fault(std::string(who) + " touches " + wrong, kIllegalAddress);
}

void stand_in_fault(const char* what) {
  std::lock_guard lock(world.mutex);
  fault(what, 0);
}

void stand_in_forgive() {
  std::lock_guard lock(world.mutex);
  world.faults.clear();
}

void stand_in_fail(const char* name, int error, unsigned nth, unsigned times) {
  std::lock_guard lock(world.mutex);
  world.failures.push_back({name, nth - 1, times, error});
}

void stand_in_mark(const char* name) {
  std::lock_guard lock(world.mutex);
  world.records.push_back({'m', name, 0, 0, 0});
}

const char* stand_in_records() {
  std::lock_guard lock(world.mutex);
  answer.clear();
  for (auto& record : world.records)
    answer += std::string(1, record.kind) + '\t' + record.name + '\t' +
              std::to_string(record.stream) + '\t' + std::to_string(record.size) + '\t' +
              std::to_string(record.result) + '\n';
  return answer.c_str();
}

const char* stand_in_faults() {
  std::lock_guard lock(world.mutex);
  check_memory();
  answer.clear();
  for (auto& fault : world.faults) answer += fault + '\n';
  return answer.c_str();
}

const char* stand_in_live() {
  std::lock_guard lock(world.mutex);
  answer.clear();
  for (auto& [start, block] : memory.blocks)
    if (block.live) answer += named(block) + '\n';
  auto list = [](const char* kind, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i) answer += std::string(kind) + '\n';
  };
  list("stream", streams.live.size()), list("event", events.live.size()),
      list("graph", graphs.live.size());
  list("executable graph", executables.live.size()), list("library", libraries.live.size());
  list("user object", user_objects.live.size()), list("capture", captures.size());
  return answer.c_str();
}
}
