// The driver's functions on itself, its devices, contexts, pools and pointers.
#pragma once
#include "copy.h"

inline bool is_device(int device) { return device >= 0 && device < world.settings.devices; }

inline int attribute_of(int attribute) {
  switch (attribute) {
    case 1:
    case 2:
    case 3:
      return 1024;  // threads in a block
    case 4:
    case 64:
      return attribute == 4 ? 64 : 1024;
    case 5:
      return 2147483647;  // blocks in a grid
    case 6:
    case 7:
      return 65535;
    case 8:
    case 97:
      return 49152;  // shared memory of a block
    case 10:
      return 32;  // threads of a warp
    case 12:
      return 65536;  // registers of a block
    case 13:
      return 2520000;
    case 16:
      return 128;  // multiprocessors
    case 19:
    case 31:
    case 41:
    case 79:
    case 83:
    case 115:
      return 1;
    case 36:
      return 10501000;
    case 37:
      return 384;
    case 38:
      return 72 << 20;  // bytes of the second-level cache
    case 39:
      return 1536;
    case 75:
      return world.settings.major;
    case 76:
      return world.settings.minor;
    default:
      return 0;
  }
}

constexpr std::pair<int, const char*> error_names[] = {
    {0, "CUDA_SUCCESS"},
    {1, "CUDA_ERROR_INVALID_VALUE"},
    {2, "CUDA_ERROR_OUT_OF_MEMORY"},
    {3, "CUDA_ERROR_NOT_INITIALIZED"},
    {100, "CUDA_ERROR_NO_DEVICE"},
    {101, "CUDA_ERROR_INVALID_DEVICE"},
    {200, "CUDA_ERROR_INVALID_IMAGE"},
    {201, "CUDA_ERROR_INVALID_CONTEXT"},
    {209, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
    {222, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION"},
    {400, "CUDA_ERROR_INVALID_HANDLE"},
    {401, "CUDA_ERROR_ILLEGAL_STATE"},
    {500, "CUDA_ERROR_NOT_FOUND"},
    {600, "CUDA_ERROR_NOT_READY"},
    {700, "CUDA_ERROR_ILLEGAL_ADDRESS"},
    {701, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
    {702, "CUDA_ERROR_LAUNCH_TIMEOUT"},
    {719, "CUDA_ERROR_LAUNCH_FAILED"},
    {801, "CUDA_ERROR_NOT_SUPPORTED"},
    {803, "CUDA_ERROR_SYSTEM_DRIVER_MISMATCH"},
    {900, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
    {901, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
    {904, "CUDA_ERROR_STREAM_CAPTURE_UNJOINED"},
    {905, "CUDA_ERROR_STREAM_CAPTURE_ISOLATION"},
    {906, "CUDA_ERROR_STREAM_CAPTURE_IMPLICIT"},
    {907, "CUDA_ERROR_CAPTURED_EVENT"},
};

extern "C" {

// If there is a driver, NVRTC queries its private tables: these report that they are
// empty.
int cuGetExportTable(const void** table, const void*) {
  static const std::size_t empty[8] = {0};
  *table = empty;
  return kNotFound;
}

int cuInit(unsigned) {
  std::lock_guard lock(world.mutex);
  int error = failure_of("cuInit");
  if (!error && world.settings.devices == 0) error = kNoDevice;
  world.records.push_back({'c', "cuInit", 0, 0, error});
  world.initialized = world.initialized || !error;
  return error;
}

int cuDriverGetVersion(int* out) {
  *out = world.settings.version;
  return kSuccess;
}

int cuGetErrorName(int error, const char** out) {
  *out = "CUDA_ERROR";
  for (auto& [number, name] : error_names)
    if (number == error) *out = name;
  return kSuccess;
}

int cuGetErrorString(int error, const char** out) { return cuGetErrorName(error, out); }

int cuDeviceGetCount(int* out) {
  return call("cuDeviceGetCount", 0, 0, [&] {
    *out = world.settings.devices;
    return kSuccess;
  });
}

int cuDeviceGet(int* out, int number) {
  return call("cuDeviceGet", 0, 0, [&] {
    *out = number;
    return is_device(number) ? kSuccess : kInvalidDevice;
  });
}

int cuDeviceGetName(char* out, int size, int device) {
  return call("cuDeviceGetName", 0, 0, [&] {
    std::strncpy(out, world.settings.name, size);
    return is_device(device) ? kSuccess : kInvalidDevice;
  });
}

int cuDeviceGetUuid_v2(unsigned char* out, int device) {
  return call("cuDeviceGetUuid", 0, 0, [&] {
    std::memset(out, 0x11 * (device + 1), 16);
    return kSuccess;
  });
}

int cuDeviceTotalMem_v2(std::size_t* out, int) {
  return call("cuDeviceTotalMem", 0, 0, [&] {
    *out = world.settings.memory;
    return kSuccess;
  });
}

int cuDeviceGetAttribute(int* out, int attribute, int device) {
  return call("cuDeviceGetAttribute", 0, 0, [&] {
    *out = attribute_of(attribute);
    return is_device(device) ? kSuccess : kInvalidDevice;
  });
}

int cuDevicePrimaryCtxRetain(Handle* out, int device) {
  return call("cuDevicePrimaryCtxRetain", 0, 0, [&] {
    *out = context_of(device);
    return is_device(device) ? kSuccess : kInvalidDevice;
  });
}

int cuDevicePrimaryCtxRelease_v2(int) {
  return call("cuDevicePrimaryCtxRelease", 0, 0, [] { return kSuccess; });
}

int cuCtxSetCurrent(Handle context) {
  return call("cuCtxSetCurrent", 0, 0, [&] {
    device_of_thread = context ? static_cast<int>((context - kContext) / 16) : -1;
    return kSuccess;
  });
}

int cuCtxGetCurrent(Handle* out) {
  return call("cuCtxGetCurrent", 0, 0, [&] {
    *out = device_of_thread < 0 ? 0 : context_of(device_of_thread);
    return kSuccess;
  });
}

int cuCtxPushCurrent_v2(Handle context) { return cuCtxSetCurrent(context); }

int cuCtxGetDevice(int* out) {
  return in_context("cuCtxGetDevice", 0, 0, [&] {
    *out = device_of_thread;
    return kSuccess;
  });
}

int cuCtxGetDevice_v2(int* out, Handle context) {
  return call("cuCtxGetDevice", 0, 0, [&] {
    *out = context ? static_cast<int>((context - kContext) / 16) : device_of_thread;
    return kSuccess;
  });
}

int cuCtxSynchronize() {
  return in_context("cuCtxSynchronize", 0, 0, [] { return synchronize_all(); });
}
int cuCtxSynchronize_v2(Handle) { return cuCtxSynchronize(); }

int cuCtxGetStreamPriorityRange(int* least, int* greatest) {
  return in_context("cuCtxGetStreamPriorityRange", 0, 0, [&] {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return kSuccess;
  });
}

int cuDeviceGetDefaultMemPool(Handle* out, int device) {
  return call("cuDeviceGetDefaultMemPool", 0, 0, [&] {
    *out = kPool + 16 * device;
    return kSuccess;
  });
}

int cuDeviceGetMemPool(Handle* out, int device) { return cuDeviceGetDefaultMemPool(out, device); }

int cuMemPoolGetAttribute(Handle, int, std::uint64_t* out) {
  return call("cuMemPoolGetAttribute", 0, 0, [&] {
    *out = UINT64_MAX;
    return kSuccess;
  });
}

int cuMemPoolSetAttribute(Handle, int, void*) {
  return call("cuMemPoolSetAttribute", 0, 0, [] { return kSuccess; });
}

int cuPointerGetAttribute(void* out, int attribute, Address at) {
  return call("cuPointerGetAttribute", 0, 0, [&]() -> int {
    Block* block = is_ours(at) ? block_of(at) : nullptr;
    if (attribute == 2)
      *static_cast<int*>(out) = block ? (block->device ? 2 : 1) : 0;  // kind of memory
    else if (attribute == 9)
      *static_cast<int*>(out) = 0;  // device number
    else if (attribute == 8)
      *static_cast<int*>(out) = 0;  // managed
    else if (attribute == 3 || attribute == 4)
      *static_cast<Address*>(out) = at;  // device's, host's address
    else
      return kNotSupported;
    return block || attribute == 2 ? kSuccess : kInvalidValue;
  });
}

int cuPointerGetAttributes(unsigned count, const int* attributes, void** out, Address at) {
  for (unsigned i = 0; i < count; ++i)
    if (int error = cuPointerGetAttribute(out[i], attributes[i], at);
        error && error != kInvalidValue)
      return error;
  return kSuccess;
}
}
