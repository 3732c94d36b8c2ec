// The functions by the name given to cuGetProcAddress, with the first version for which each is
// used.
#pragma once
#include "control.h"

struct Entry {
  const char* name;
  int since;
  void* function;
};

#define FUNCTION(name, since, function) {name, since, reinterpret_cast<void*>(function)}

inline const Entry entries[] = {
    FUNCTION("cuStreamCreateWithPriority", 0, cuStreamCreateWithPriority),
    FUNCTION("cuStreamCreate", 0, cuStreamCreate),
    FUNCTION("cuStreamDestroy", 0, cuStreamDestroy_v2),
    FUNCTION("cuStreamSynchronize", 0, cuStreamSynchronize),
    FUNCTION("cuStreamQuery", 0, cuStreamQuery),
    FUNCTION("cuStreamGetFlags", 0, cuStreamGetFlags),
    FUNCTION("cuStreamGetPriority", 0, cuStreamGetPriority),
    FUNCTION("cuStreamGetDevice", 0, cuStreamGetDevice),
    FUNCTION("cuStreamGetCtx", 0, cuStreamGetCtx),
    FUNCTION("cuStreamGetCtx", 12050, cuStreamGetCtx_v2),
    FUNCTION("cuStreamGetId", 0, cuStreamGetId),
    FUNCTION("cuStreamWaitEvent", 0, cuStreamWaitEvent),
    FUNCTION("cuLaunchHostFunc", 0, cuLaunchHostFunc),
    FUNCTION("cuEventCreate", 0, cuEventCreate),
    FUNCTION("cuEventDestroy", 0, cuEventDestroy_v2),
    FUNCTION("cuEventRecord", 0, cuEventRecord),
    FUNCTION("cuEventRecordWithFlags", 0, cuEventRecordWithFlags),
    FUNCTION("cuEventSynchronize", 0, cuEventSynchronize),
    FUNCTION("cuEventQuery", 0, cuEventQuery),
    FUNCTION("cuEventElapsedTime", 0, cuEventElapsedTime_v2),
    FUNCTION("cuStreamBeginCapture", 0, cuStreamBeginCapture_v2),
    FUNCTION("cuStreamBeginCaptureToGraph", 0, cuStreamBeginCaptureToGraph),
    FUNCTION("cuStreamEndCapture", 0, cuStreamEndCapture),
    FUNCTION("cuStreamIsCapturing", 0, cuStreamIsCapturing),
    FUNCTION("cuStreamGetCaptureInfo", 12030, cuStreamGetCaptureInfo_v3),
    FUNCTION("cuStreamGetCaptureInfo", 11030, cuStreamGetCaptureInfo_v2),
    FUNCTION("cuStreamUpdateCaptureDependencies", 0, cuStreamUpdateCaptureDependencies_v2),
    FUNCTION("cuThreadExchangeStreamCaptureMode", 0, cuThreadExchangeStreamCaptureMode),
    FUNCTION("cuGraphCreate", 0, cuGraphCreate),
    FUNCTION("cuGraphDestroy", 0, cuGraphDestroy),
    FUNCTION("cuGraphConditionalHandleCreate", 0, cuGraphConditionalHandleCreate),
    FUNCTION("cuGraphAddNode", 0, cuGraphAddNode_v2),
    FUNCTION("cuGraphAddChildGraphNode", 0, cuGraphAddChildGraphNode),
    FUNCTION("cuGraphGetNodes", 0, cuGraphGetNodes),
    FUNCTION("cuGraphNodeGetType", 0, cuGraphNodeGetType),
    FUNCTION("cuGraphInstantiateWithParams", 0, cuGraphInstantiateWithParams),
    FUNCTION("cuGraphInstantiateWithFlags", 0, cuGraphInstantiateWithFlags),
    FUNCTION("cuGraphExecUpdate", 0, cuGraphExecUpdate_v2),
    FUNCTION("cuGraphExecDestroy", 0, cuGraphExecDestroy),
    FUNCTION("cuGraphUpload", 0, cuGraphUpload),
    FUNCTION("cuGraphLaunch", 0, cuGraphLaunch),
    FUNCTION("cuUserObjectCreate", 0, cuUserObjectCreate),
    FUNCTION("cuUserObjectRelease", 0, cuUserObjectRelease),
    FUNCTION("cuGraphRetainUserObject", 0, cuGraphRetainUserObject),
    FUNCTION("cuGraphReleaseUserObject", 0, cuGraphReleaseUserObject),
    FUNCTION("cuLibraryLoadData", 0, cuLibraryLoadData),
    FUNCTION("cuLibraryLoadFromFile", 0, cuLibraryLoadFromFile),
    FUNCTION("cuLibraryUnload", 0, cuLibraryUnload),
    FUNCTION("cuLibraryGetKernel", 0, cuLibraryGetKernel),
    FUNCTION("cuKernelGetFunction", 0, cuKernelGetFunction),
    FUNCTION("cuKernelGetLibrary", 0, cuKernelGetLibrary),
    FUNCTION("cuKernelGetParamInfo", 0, cuKernelGetParamInfo),
    FUNCTION("cuKernelGetAttribute", 0, cuKernelGetAttribute),
    FUNCTION("cuFuncGetAttribute", 0, cuFuncGetAttribute),
    FUNCTION("cuModuleLoadData", 0, cuModuleLoadData),
    FUNCTION("cuModuleUnload", 0, cuModuleUnload),
    FUNCTION("cuModuleGetFunction", 0, cuModuleGetFunction),
    FUNCTION("cuLaunchKernelEx", 0, cuLaunchKernelEx),
    FUNCTION("cuLaunchKernel", 0, cuLaunchKernel),
    FUNCTION("cuMemAlloc", 0, cuMemAlloc_v2),
    FUNCTION("cuMemAllocHost", 0, cuMemAllocHost_v2),
    FUNCTION("cuMemHostAlloc", 0, cuMemHostAlloc),
    FUNCTION("cuMemFree", 0, cuMemFree_v2),
    FUNCTION("cuMemFreeHost", 0, cuMemFreeHost),
    FUNCTION("cuMemHostGetDevicePointer", 0, cuMemHostGetDevicePointer_v2),
    FUNCTION("cuMemAllocFromPoolAsync", 0, cuMemAllocFromPoolAsync),
    FUNCTION("cuMemAllocAsync", 0, cuMemAllocAsync),
    FUNCTION("cuMemFreeAsync", 0, cuMemFreeAsync),
    FUNCTION("cuMemcpyHtoDAsync", 0, cuMemcpyHtoDAsync_v2),
    FUNCTION("cuMemcpyDtoHAsync", 0, cuMemcpyDtoHAsync_v2),
    FUNCTION("cuMemcpyDtoDAsync", 0, cuMemcpyDtoDAsync_v2),
    FUNCTION("cuMemcpyAsync", 0, cuMemcpyAsync),
    FUNCTION("cuMemcpyHtoD", 0, cuMemcpyHtoD_v2),
    FUNCTION("cuMemcpyDtoH", 0, cuMemcpyDtoH_v2),
    FUNCTION("cuMemcpyDtoD", 0, cuMemcpyDtoD_v2),
    FUNCTION("cuMemcpy", 0, cuMemcpy),
    FUNCTION("cuMemsetD8Async", 0, cuMemsetD8Async),
    FUNCTION("cuMemsetD16Async", 0, cuMemsetD16Async),
    FUNCTION("cuMemsetD32Async", 0, cuMemsetD32Async),
    FUNCTION("cuMemGetInfo", 0, cuMemGetInfo_v2),
    FUNCTION("cuInit", 0, cuInit),
    FUNCTION("cuDriverGetVersion", 0, cuDriverGetVersion),
    FUNCTION("cuGetErrorName", 0, cuGetErrorName),
    FUNCTION("cuGetErrorString", 0, cuGetErrorString),
    FUNCTION("cuDeviceGetCount", 0, cuDeviceGetCount),
    FUNCTION("cuDeviceGet", 0, cuDeviceGet),
    FUNCTION("cuDeviceGetName", 0, cuDeviceGetName),
    FUNCTION("cuDeviceGetUuid", 0, cuDeviceGetUuid_v2),
    FUNCTION("cuDeviceTotalMem", 0, cuDeviceTotalMem_v2),
    FUNCTION("cuDeviceGetAttribute", 0, cuDeviceGetAttribute),
    FUNCTION("cuDevicePrimaryCtxRetain", 0, cuDevicePrimaryCtxRetain),
    FUNCTION("cuDevicePrimaryCtxRelease", 0, cuDevicePrimaryCtxRelease_v2),
    FUNCTION("cuCtxSetCurrent", 0, cuCtxSetCurrent),
    FUNCTION("cuCtxGetCurrent", 0, cuCtxGetCurrent),
    FUNCTION("cuCtxPushCurrent", 0, cuCtxPushCurrent_v2),
    FUNCTION("cuCtxGetDevice", 0, cuCtxGetDevice),
    FUNCTION("cuCtxGetDevice", 13000, cuCtxGetDevice_v2),
    FUNCTION("cuCtxSynchronize", 0, cuCtxSynchronize),
    FUNCTION("cuCtxSynchronize", 13000, cuCtxSynchronize_v2),
    FUNCTION("cuCtxGetStreamPriorityRange", 0, cuCtxGetStreamPriorityRange),
    FUNCTION("cuDeviceGetDefaultMemPool", 0, cuDeviceGetDefaultMemPool),
    FUNCTION("cuDeviceGetMemPool", 0, cuDeviceGetMemPool),
    FUNCTION("cuMemPoolGetAttribute", 0, cuMemPoolGetAttribute),
    FUNCTION("cuMemPoolSetAttribute", 0, cuMemPoolSetAttribute),
    FUNCTION("cuPointerGetAttribute", 0, cuPointerGetAttribute),
    FUNCTION("cuPointerGetAttributes", 0, cuPointerGetAttributes),
};

extern "C" {

int cuGetProcAddress_v2(const char* name, void** out, int version, std::uint64_t, int* status) {
  *out = nullptr;
  int since = -1;
  for (auto& entry : entries)
    if (!std::strcmp(entry.name, name) && entry.since <= version && entry.since > since)
      *out = entry.function, since = entry.since;
  if (!std::strcmp(name, "cuGetProcAddress")) *out = reinterpret_cast<void*>(cuGetProcAddress_v2);
  bool too_new = version > world.settings.version;
  if (too_new) *out = nullptr;
  if (status) *status = *out ? 0 : too_new ? 2 : 1;
  return *out ? kSuccess : kNotFound;
}

int cuGetProcAddress(const char* name, void** out, int version, std::uint64_t flags) {
  return cuGetProcAddress_v2(name, out, version, flags, nullptr);
}
}
