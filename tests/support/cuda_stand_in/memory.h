// Device and pinned memory: host memory between guards, poisoned when allocated and freed, never
// reused.
#pragma once
#include <sys/mman.h>

#include <cstring>

#include "world.h"

constexpr std::uint16_t kNew = 0xFFFF, kGuard = 0xFFFE,
                        kFreed = 0xFFFD;  // each NaN as half, float and double
constexpr std::size_t kGuardBytes = 512, kArena = std::size_t{1} << 38;

struct Block {
  Address start;
  std::size_t size;
  bool device, live;
};

struct Memory {
  Address base = 0, first_of_test = 0, next = 0;
  std::map<Address, Block> blocks;  // of this test, including freed blocks
  std::size_t used = 0;
};

inline Memory memory;

inline void poison(Address at, std::size_t size, std::uint16_t pattern) {
  std::memset(reinterpret_cast<void*>(at), pattern & 0xFF, size);
  for (std::size_t i = 1; i < size; i += 2) reinterpret_cast<unsigned char*>(at)[i] = pattern >> 8;
}

inline bool is_poison(Address at, std::size_t size, std::uint16_t pattern) {
  auto bytes = reinterpret_cast<const unsigned char*>(at);
  for (std::size_t i = 0; i < size; ++i)
    if (bytes[i] != (i % 2 ? pattern >> 8 : pattern & 0xFF)) return false;
  return true;
}

inline bool is_ours(Address at) {
  return memory.base && at >= memory.base && at < memory.base + kArena;
}

// The block that contains `at` or ends there; null for pageable memory and that of earlier tests.
inline Block* block_of(Address at) {
  auto after = memory.blocks.upper_bound(at);
  return after == memory.blocks.begin() ? nullptr : &std::prev(after)->second;
}

inline int allocate(Address* out, std::size_t size, bool device) {
  if (size == 0 || !out) return kInvalidValue;
  if (device && memory.used + size > world.settings.memory) return kOutOfMemory;
  if (!memory.base) {
    void* arena = mmap(nullptr, kArena, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (arena == MAP_FAILED) return kOutOfMemory;
    memory.base = memory.first_of_test = memory.next = reinterpret_cast<Address>(arena);
  }
  Address start = memory.next + kGuardBytes;
  std::size_t room = (size + 511) / 512 * 512 + kGuardBytes;
  if (start + room > memory.base + kArena) return kOutOfMemory;
  poison(memory.next, start + room - memory.next, kGuard);
  poison(start, size, kNew);
  memory.next = start + room;
  memory.blocks[start] = {start, size, device, true};
  if (device) memory.used += size;
  *out = start;
  return kSuccess;
}

inline std::string named(const Block& block) {
  return std::string(block.device ? "device" : "pinned") + " block of " +
         std::to_string(block.size) + " bytes";
}

// The fault of an access to [at, at + size); empty if it is valid. Pageable memory is unknown
// and passes.
inline std::string trouble(Address at, std::size_t size) {
  if (!is_ours(at)) return at ? "" : "a null pointer";
  Block* block = block_of(at);
  if (!block || at < memory.first_of_test) return "memory of an earlier test";
  if (!block->live) return "a freed " + named(*block);
  std::size_t offset = at - block->start;
  if (offset + size <= block->size) return "";
  return std::to_string(size) + " bytes at offset " + std::to_string(offset) + " of a " +
         named(*block);
}

inline void check_guards(const Block& block) {
  // the pattern behind the block starts at an even address for any size
  Address before = block.start - kGuardBytes, behind = block.start + block.size + block.size % 2;
  std::size_t rest = block.start + (block.size + 511) / 512 * 512 + kGuardBytes - behind;
  if (is_poison(before, kGuardBytes, kGuard) && is_poison(behind, rest, kGuard)) return;
  fault("written past its end or before its start: a " + named(block), 0);
  poison(before, kGuardBytes, kGuard);
  poison(behind, rest, kGuard);
}

inline void check_memory() {
  for (auto& [start, block] : memory.blocks) {
    check_guards(block);
    if (block.live || is_poison(start, block.size, kFreed)) continue;
    fault("written after it was freed: a " + named(block), 0);
    poison(start, block.size, kFreed);
  }
}

inline int release(Address at, bool device) {
  if (!at) return kSuccess;
  if (is_ours(at) && at < memory.first_of_test)
    return kSuccess;  // a block of an earlier test, collected late
  auto found = memory.blocks.find(at);
  if (found == memory.blocks.end())
    return fault("freed: an address that was never allocated", kInvalidValue);
  Block& block = found->second;
  if (block.device != device)
    return fault("freed as the wrong kind: a " + named(block), kInvalidValue);
  if (!block.live) return fault("freed twice: a " + named(block), kInvalidValue);
  check_guards(block);
  block.live = false;
  poison(block.start, block.size, kFreed);
  if (device) memory.used -= block.size;
  return kSuccess;
}

inline void forget_memory() {
  if (memory.next > memory.first_of_test) {
    Address page = (memory.next + 4095) / 4096 * 4096,
            first = (memory.first_of_test + 4095) / 4096 * 4096;
    madvise(reinterpret_cast<void*>(first), page - first, MADV_DONTNEED);
    memory.next = page;
  }
  memory.first_of_test = memory.next;
  memory.blocks.clear();
  memory.used = 0;
}
