// Libraries, kernels and launches. A kernel is a host function, registered by name.
#pragma once
#include "graph.h"

using HostKernel = void (*)(void** params, unsigned grid_x, unsigned grid_y, unsigned grid_z,
                            unsigned block_x, unsigned block_y, unsigned block_z);
using Extents = void (*)(void** params,
                         std::uint64_t* bytes);  // the bytes that it touches behind each pointer

struct KernelCode {
  std::string name;
  std::vector<unsigned> sizes;  // of the parameters, in bytes
  std::vector<bool> pointers;
  HostKernel run;
  Extents extents;
};

struct Library {
  Handle handle = 0;
  std::map<std::string, Handle> kernels;
};

struct Kernel {
  Handle handle = 0, library = 0;
  std::shared_ptr<const KernelCode> code;
};

inline std::map<std::string, std::shared_ptr<const KernelCode>> registered;
inline Table<Library> libraries{"a library"};
inline Table<Kernel> kernels{"a kernel"};

// A copy of the parameters at the launch, because the caller may change them before the kernel runs.
struct Arguments {
  std::vector<std::vector<unsigned char>> bytes;
  std::vector<void*> pointers;

  Arguments(const KernelCode& code, void** given) {
    for (std::size_t i = 0; i < code.sizes.size(); ++i) {
      auto first = static_cast<const unsigned char*>(given[i]);
      bytes.emplace_back(first, first + code.sizes[i]);
    }
    for (auto& one : bytes) pointers.push_back(one.data());
  }
  Address address(std::size_t i) const { return *static_cast<const Address*>(pointers[i]); }
};

inline std::string trouble_of_parameter(Address at, std::uint64_t size) {
  if (!at) return size ? "a null pointer" : "";
  if (!is_ours(at)) return "memory that the device does not see";
  return trouble(at, size ? size : 1);
}

inline int run_kernel(const KernelCode& code, Arguments& arguments, const unsigned* grid,
                      const unsigned* block) {
  std::vector<std::uint64_t> bytes(code.sizes.size());
  if (code.extents) code.extents(arguments.pointers.data(), bytes.data());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string wrong =
        code.pointers[i] ? trouble_of_parameter(arguments.address(i), bytes[i]) : "";
    if (wrong.empty()) continue;
    return fault(code.name + " touches " + wrong + " (parameter " + std::to_string(i) + ")",
                 kIllegalAddress);
  }
  code.run(arguments.pointers.data(), grid[0], grid[1], grid[2], block[0], block[1], block[2]);
  for (std::size_t i = 0; i < bytes.size(); ++i)
    if (code.pointers[i] && arguments.address(i)) check_guards(*block_of(arguments.address(i)));
  return kSuccess;
}

// The work of a launch; null if the driver would refuse it.
inline std::unique_ptr<Operation> launch_of(Handle handle, const unsigned* grid,
                                            const unsigned* block, void** params) {
  auto kernel = kernels.find(handle);
  std::size_t threads = std::size_t{block[0]} * block[1] * block[2];
  if (!kernel || !threads || threads > 1024 || !grid[0] || !grid[1] || !grid[2]) return nullptr;
  if (grid[1] > 65535 || grid[2] > 65535) return nullptr;
  auto code = kernel->code;
  auto arguments = std::make_shared<Arguments>(*code, params);
  std::vector<unsigned> shape{grid[0], grid[1], grid[2], block[0], block[1], block[2]};
  auto work = std::make_unique<Operation>();
  work->name = code->name, work->type = kKernelNode,
  work->size = std::size_t{grid[0]} * grid[1] * grid[2];
  work->run = [code, arguments, shape] {
    return run_kernel(*code, *arguments, shape.data(), shape.data() + 3);
  };
  for (std::size_t i = 0; i < code->sizes.size(); ++i)
    if (code->pointers[i] && is_ours(arguments->address(i)))
      work->touches.push_back({arguments->address(i), 1});
  return work;
}

inline int load_library(Handle* out) {
  *out = libraries.add(std::make_shared<Library>())->handle;
  return kSuccess;
}

inline int get_kernel(Handle* out, Handle library_handle, const char* name) {
  auto library = libraries.find(library_handle);
  if (!library) return kInvalidHandle;
  auto code = registered.find(name);
  if (code == registered.end()) return kNotFound;
  auto& handle = library->kernels[name];
  if (!handle) {
    auto kernel = std::make_shared<Kernel>();
    kernel->library = library_handle, kernel->code = code->second;
    handle = kernels.add(kernel)->handle;
  }
  *out = handle;
  return kSuccess;
}

inline int unload(Handle handle) {
  auto found = libraries.live.find(handle);
  if (found != libraries.live.end())
    for (auto& [name, kernel] : found->second->kernels) kernels.live.erase(kernel);
  return libraries.drop(handle);
}

inline int launch(Handle function, const unsigned* grid, const unsigned* block, Handle stream,
                  void** params) {
  return in_context("cuLaunchKernel", stream, 0, [&]() -> int {
    auto work = launch_of(function, grid, block, params);
    return work ? enqueue(stream, std::move(*work)) : kInvalidValue;
  });
}

extern "C" {

int cuLibraryLoadData(Handle* out, const void*, void*, void**, unsigned, void*, void**, unsigned) {
  return in_context("cuLibraryLoadData", 0, 0, [&] { return load_library(out); });
}

int cuLibraryLoadFromFile(Handle* out, const char*, void*, void**, unsigned, void*, void**,
                          unsigned) {
  return in_context("cuLibraryLoadFromFile", 0, 0, [&] { return load_library(out); });
}

int cuLibraryUnload(Handle library) {
  return call("cuLibraryUnload", 0, 0, [&] { return unload(library); });
}

int cuLibraryGetKernel(Handle* out, Handle library, const char* name) {
  return in_context("cuLibraryGetKernel", 0, 0, [&] { return get_kernel(out, library, name); });
}

int cuKernelGetFunction(Handle* out, Handle kernel) {
  return call("cuKernelGetFunction", 0, 0, [&]() -> int {
    *out = kernel;
    return kernels.find(kernel) ? kSuccess : kInvalidHandle;
  });
}

int cuKernelGetLibrary(Handle* out, Handle handle) {
  return call("cuKernelGetLibrary", 0, 0, [&]() -> int {
    auto kernel = kernels.find(handle);
    if (kernel) *out = kernel->library;
    return kernel ? kSuccess : kInvalidHandle;
  });
}

int cuKernelGetParamInfo(Handle handle, std::size_t index, std::size_t* offset, std::size_t* size) {
  return call("cuKernelGetParamInfo", 0, 0, [&]() -> int {
    auto kernel = kernels.find(handle);
    if (!kernel) return kInvalidHandle;
    auto& sizes = kernel->code->sizes;
    if (index >= sizes.size()) return kInvalidValue;
    std::size_t at = 0;
    for (std::size_t i = 0; i < index; ++i)
      at = (at + sizes[i] - 1) / sizes[i] * sizes[i] + sizes[i];
    *offset = (at + sizes[index] - 1) / sizes[index] * sizes[index];
    if (size) *size = sizes[index];
    return kSuccess;
  });
}

int cuKernelGetAttribute(int* out, int attribute, Handle, int) {
  return call("cuKernelGetAttribute", 0, 0, [&] {
    *out = attribute == 0 ? 1024 : attribute == 4 ? 32 : 0;  // most threads in a block, registers
    return kSuccess;
  });
}

int cuFuncGetAttribute(int* out, int attribute, Handle kernel) {
  return cuKernelGetAttribute(out, attribute, kernel, 0);
}

int cuModuleLoadData(Handle* out, const void*) {
  return in_context("cuModuleLoadData", 0, 0, [&] { return load_library(out); });
}

int cuModuleUnload(Handle module) {
  return call("cuModuleUnload", 0, 0, [&] { return unload(module); });
}

int cuModuleGetFunction(Handle* out, Handle module, const char* name) {
  return in_context("cuModuleGetFunction", 0, 0, [&] { return get_kernel(out, module, name); });
}

int cuLaunchKernelEx(const LaunchConfig* config, Handle function, void** params, void**) {
  return launch(function, config->grid, config->block, config->stream, params);
}

int cuLaunchKernel(Handle function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by,
                   unsigned bz, unsigned, Handle stream, void** params, void**) {
  unsigned grid[3] = {gx, gy, gz}, block[3] = {bx, by, bz};
  return launch(function, grid, block, stream, params);
}
}
