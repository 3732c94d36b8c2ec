# Finds TensorRT::TensorRT, the runtime part, in NVIDIA's packages or an unpacked archive.
# Its place is TensorRT_ROOT or CMAKE_PREFIX_PATH, or TENSORRT_INCLUDE_DIR and TENSORRT_LIBRARY. The library may be the
# lean runtime (libnvinfer_lean). The headers need those of the CUDA runtime: CUDA_INCLUDE_DIR.
find_path(TENSORRT_INCLUDE_DIR NvInferRuntime.h)
find_library(TENSORRT_LIBRARY NAMES nvinfer nvinfer_10 nvinfer_11 PATH_SUFFIXES lib lib64)
find_path(CUDA_INCLUDE_DIR cuda_runtime_api.h
          HINTS ENV CUDA_PATH ENV CUDA_HOME PATHS /usr/local/cuda /usr/local/cuda/targets/aarch64-linux
          PATH_SUFFIXES include)
if(TENSORRT_INCLUDE_DIR)
  file(STRINGS ${TENSORRT_INCLUDE_DIR}/NvInferVersion.h version_lines REGEX "^#define [A-Z_]+ [0-9]+")
  foreach(part MAJOR MINOR PATCH)
    if(version_lines MATCHES "(NV_TENSORRT|TRT)_${part}(_ENTERPRISE)? ([0-9]+)")
      list(APPEND TensorRT_VERSION ${CMAKE_MATCH_3})
    endif()
  endforeach()
  string(REPLACE ";" "." TensorRT_VERSION "${TensorRT_VERSION}")
endif()
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(TensorRT REQUIRED_VARS TENSORRT_LIBRARY TENSORRT_INCLUDE_DIR CUDA_INCLUDE_DIR
                                  VERSION_VAR TensorRT_VERSION)
if(TensorRT_FOUND AND NOT TARGET TensorRT::TensorRT)
  add_library(TensorRT::TensorRT UNKNOWN IMPORTED)
  set_target_properties(TensorRT::TensorRT PROPERTIES
    IMPORTED_LOCATION ${TENSORRT_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES "${TENSORRT_INCLUDE_DIR};${CUDA_INCLUDE_DIR}")
endif()
mark_as_advanced(TENSORRT_INCLUDE_DIR TENSORRT_LIBRARY CUDA_INCLUDE_DIR)
