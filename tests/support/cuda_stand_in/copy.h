// Allocation, copies and fills.
#pragma once
#include "graph.h"

inline Operation copy_of(Address to, Address from, std::size_t size) {
  return {"copy", kMemcpyNode, size, {{to, size}, {from, size}}, [=] {
            std::memmove(reinterpret_cast<void*>(to), reinterpret_cast<const void*>(from), size);
            return kSuccess;
          }};
}

inline Operation fill_of(Address to, unsigned value, unsigned element, std::size_t count) {
  return {"fill", kMemsetNode, count * element, {{to, count * element}}, [=] {
            for (std::size_t i = 0; i < count; ++i)
              std::memcpy(reinterpret_cast<char*>(to) + i * element, &value, element);
            return kSuccess;
          }};
}

inline int release_noting_graphs(Address at, bool device) {
  Block* block = is_ours(at) ? block_of(at) : nullptr;
  for (auto& [handle, executable] : executables.live)
    if (block && works_on(*executable->graph, *block))
      world.records.push_back({'n', "freed what a graph works on", handle, block->size, 0});
  return release(at, device);
}

inline int free_later(Address at, Handle stream) {
  return enqueue(stream,
                 {"free", kEmptyNode, 0, {}, [at] { return release_noting_graphs(at, true); }});
}

inline bool is_capturing(Handle handle) {
  auto stream = stream_of(handle);
  return stream && stream->capture;
}

// As in the driver: a copy from pageable memory reads the source at once, and a copy to it
// waits.
inline int copy_async(const char* name, Address to, Address from, std::size_t size, Handle stream) {
  return in_context(name, stream, size, [&]() -> int {
    if (!size) return kSuccess;
    for (Address at : {to, from}) {
      std::string wrong = trouble(at, size);
      if (!wrong.empty()) return fault(std::string(name) + " of " + wrong, kInvalidValue);
    }
    if (is_capturing(stream)) return enqueue(stream, copy_of(to, from, size));
    Operation work = copy_of(to, from, size);
    if (!is_ours(from)) {
      auto bytes = reinterpret_cast<const unsigned char*>(from);
      auto source = std::make_shared<std::vector<unsigned char>>(bytes, bytes + size);
      work.run = [=] {
        std::memcpy(reinterpret_cast<void*>(to), source->data(), size);
        return kSuccess;
      };
      work.touches.pop_back();
    }
    int error = enqueue(stream, std::move(work));
    if (error || is_ours(to)) return error;
    world.records.push_back({'c', "wait for pageable memory", stream, size, 0});
    return synchronize(stream);
  });
}

inline int copy_now(const char* name, Address to, Address from, std::size_t size) {
  return in_context(name, 1, size, [&]() -> int {
    if (int error = not_while_capturing()) return error;
    for (Address at : {to, from}) {
      std::string wrong = trouble(at, size);
      if (!wrong.empty()) return fault(std::string(name) + " of " + wrong, kInvalidValue);
    }
    int error = enqueue(1, copy_of(to, from, size));
    return error ? error : synchronize(1);
  });
}

inline int fill_async(const char* name, Address to, unsigned value, unsigned element,
                      std::size_t count, Handle stream) {
  return in_context(name, stream, count * element, [&]() -> int {
    std::string wrong = trouble(to, count * element);
    if (!wrong.empty()) return fault(std::string(name) + " of " + wrong, kInvalidValue);
    return enqueue(stream, fill_of(to, value, element, count));
  });
}

inline int allocate_for(const char* name, Address* out, std::size_t size, bool device) {
  return in_context(name, 0, size, [&]() -> int {
    if (int error = not_while_capturing()) return error;
    return allocate(out, size, device);
  });
}

inline int free_for(const char* name, Address at, bool device) {
  return in_context(name, 0, 0, [&]() -> int {
    if (int error = not_while_capturing()) return error;
    return release_noting_graphs(at, device);
  });
}

extern "C" {

int cuMemAlloc_v2(Address* out, std::size_t size) {
  return allocate_for("cuMemAlloc", out, size, true);
}
int cuMemAllocHost_v2(Address* out, std::size_t size) {
  return allocate_for("cuMemAllocHost", out, size, false);
}
int cuMemHostAlloc(Address* out, std::size_t size, unsigned) {
  return allocate_for("cuMemHostAlloc", out, size, false);
}
int cuMemFree_v2(Address at) { return free_for("cuMemFree", at, true); }
int cuMemFreeHost(Address at) { return free_for("cuMemFreeHost", at, false); }

int cuMemHostGetDevicePointer_v2(Address* out, Address at, unsigned) {
  return in_context("cuMemHostGetDevicePointer", 0, 0, [&]() -> int {
    *out = at;
    return is_ours(at) ? kSuccess : kInvalidValue;
  });
}

// Stream-ordered: usable at once, freed in the order of the stream.
int cuMemAllocFromPoolAsync(Address* out, std::size_t size, Handle, Handle stream) {
  return in_context("cuMemAllocFromPoolAsync", stream, size, [&]() -> int {
    if (is_capturing(stream)) return fault("memory allocated inside a graph", kNotSupported);
    return allocate(out, size, true);
  });
}

int cuMemAllocAsync(Address* out, std::size_t size, Handle stream) {
  return cuMemAllocFromPoolAsync(out, size, 0, stream);
}

int cuMemFreeAsync(Address at, Handle stream) {
  return in_context("cuMemFreeAsync", stream, 0, [&]() -> int {
    if (is_ours(at) && at < memory.first_of_test) return kSuccess;
    if (is_capturing(stream)) return fault("memory freed inside a graph", kNotSupported);
    std::string wrong = trouble(at, 1);
    if (!wrong.empty()) return fault("cuMemFreeAsync of " + wrong, kInvalidValue);
    return world.sticky ? release(at, true) : free_later(at, stream);
  });
}

int cuMemcpyHtoDAsync_v2(Address to, Address from, std::size_t size, Handle stream) {
  return copy_async("cuMemcpyHtoDAsync", to, from, size, stream);
}
int cuMemcpyDtoHAsync_v2(Address to, Address from, std::size_t size, Handle stream) {
  return copy_async("cuMemcpyDtoHAsync", to, from, size, stream);
}
int cuMemcpyDtoDAsync_v2(Address to, Address from, std::size_t size, Handle stream) {
  return copy_async("cuMemcpyDtoDAsync", to, from, size, stream);
}
int cuMemcpyAsync(Address to, Address from, std::size_t size, Handle stream) {
  return copy_async("cuMemcpyAsync", to, from, size, stream);
}
int cuMemcpyHtoD_v2(Address to, Address from, std::size_t size) {
  return copy_now("cuMemcpyHtoD", to, from, size);
}
int cuMemcpyDtoH_v2(Address to, Address from, std::size_t size) {
  return copy_now("cuMemcpyDtoH", to, from, size);
}
int cuMemcpyDtoD_v2(Address to, Address from, std::size_t size) {
  return copy_now("cuMemcpyDtoD", to, from, size);
}
int cuMemcpy(Address to, Address from, std::size_t size) {
  return copy_now("cuMemcpy", to, from, size);
}

int cuMemsetD8Async(Address to, unsigned char value, std::size_t count, Handle stream) {
  return fill_async("cuMemsetD8Async", to, value, 1, count, stream);
}
int cuMemsetD16Async(Address to, unsigned short value, std::size_t count, Handle stream) {
  return fill_async("cuMemsetD16Async", to, value, 2, count, stream);
}
int cuMemsetD32Async(Address to, unsigned value, std::size_t count, Handle stream) {
  return fill_async("cuMemsetD32Async", to, value, 4, count, stream);
}

int cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  return in_context("cuMemGetInfo", 0, 0, [&] {
    *total = world.settings.memory, *free = *total - memory.used;
    return kSuccess;
  });
}
}
