# ddpm_rt_kernels(TARGET SOURCE): adds the kernels of SOURCE to TARGET, as a fat binary with the symbol ddpm_rt_fatbin.
#
# nvcc compiles them for DDPM_RT_CUDA_ARCHITECTURES, unless DDPM_RT_CUDA_FATBIN is a compiled file. The file does not
# depend on the host, so a cross build may use one from another machine.
set(DDPM_RT_CUDA_ARCHITECTURES "" CACHE STRING "compute capabilities without the dot: 87;90. Empty: all that nvcc knows of \
75;80;86;87;89;90;100;120, and PTX of the lowest for those that come")
set(DDPM_RT_CUDA_FATBIN "" CACHE FILEPATH "the kernels, compiled already")

# The options that select the architectures of nvcc, in `out`.
function(ddpm_rt_architectures nvcc out)
  execute_process(COMMAND ${nvcc} --list-gpu-code OUTPUT_VARIABLE known COMMAND_ERROR_IS_FATAL ANY)
  set(wanted ${DDPM_RT_CUDA_ARCHITECTURES})
  if(NOT wanted)
    set(wanted 75 80 86 87 89 90 100 120)
  endif()
  set(options)
  foreach(architecture IN LISTS wanted)
    if(known MATCHES "sm_${architecture}\n")
      if(NOT options)
        list(APPEND options -gencode arch=compute_${architecture},code=compute_${architecture})
      endif()
      list(APPEND options -gencode arch=compute_${architecture},code=sm_${architecture})
    elseif(DDPM_RT_CUDA_ARCHITECTURES)
      message(FATAL_ERROR "${nvcc} does not compile for ${architecture}; it knows: ${known}")
    endif()
  endforeach()
  execute_process(COMMAND ${nvcc} --help OUTPUT_VARIABLE help)
  if(help MATCHES "--compress-mode")
    list(APPEND options --compress-mode=size)
  endif()
  set(${out} ${options} PARENT_SCOPE)
endfunction()

function(ddpm_rt_kernels target source)
  set(fatbin ${DDPM_RT_CUDA_FATBIN})
  if(NOT fatbin)
    find_program(DDPM_RT_NVCC nvcc HINTS ENV CUDA_PATH ENV CUDA_HOME PATHS /usr/local/cuda PATH_SUFFIXES bin REQUIRED
                 DOC "NVIDIA's compiler, for the kernels")
    ddpm_rt_architectures(${DDPM_RT_NVCC} options)
    set(fatbin ${CMAKE_CURRENT_BINARY_DIR}/kernels.fatbin)
    file(GLOB headers CONFIGURE_DEPENDS ${headers}/ddpm_rt/*.h)
    add_custom_command(OUTPUT ${fatbin} VERBATIM
      COMMAND ${DDPM_RT_NVCC} -fatbin -fmad=false -ftz=false -prec-div=true -prec-sqrt=true ${options} -o ${fatbin} ${source}
      DEPENDS ${source} ${headers})
  endif()
  set(embedded ${CMAKE_CURRENT_BINARY_DIR}/kernels_fatbin.cpp)
  add_custom_command(OUTPUT ${embedded} VERBATIM
    COMMAND ${CMAKE_COMMAND} -DFROM=${fatbin} -DTO=${embedded} -P ${CMAKE_CURRENT_SOURCE_DIR}/cmake/embed.cmake
    DEPENDS ${fatbin} ${CMAKE_CURRENT_SOURCE_DIR}/cmake/embed.cmake)
  target_sources(${target} PRIVATE ${embedded})
endfunction()
