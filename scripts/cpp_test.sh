#!/usr/bin/env bash
# Build and test runtime/cpp, and compare its images with Python's:
#
#     scripts/cpp_test.sh [ci] [sanitize] [tsan] [fuzz] [clang] [arm] [dist] [tensorrt]
#
# Always: build with gcc, run ctest, install the library and use it from other programs, compare with Python, and run the
# GPU loop on stand-ins for the driver and TensorRT. Each word adds a step that takes longer or needs more tools:
#
#     ci        the address and undefined behaviour sanitizers, with clang if it is installed, and 15 seconds of fuzz
#     sanitize  these sanitizers, also on the GPU loop
#     tsan      the thread sanitizer
#     fuzz      libFuzzer on the readers, for FUZZ_SECONDS (60)
#     clang     a build with clang
#     arm       all tests as ARM binaries, under Debian trixie's qemu-user
#     dist      the archives of `make dist`, each used from a fresh folder
#     tensorrt  builds against TensorRT's headers: TENSORRT_HEADERS has a folder VERSION/include for each release
#
# PYTHON needs numpy, onnx and onnxruntime. CMAKE_GENERATOR and CMAKE_BUILD_PARALLEL_LEVEL control CMake. The kernels are
# compiled if nvcc is found; on the stand-ins they run as host code in any case.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
build=$root/build/cpp
python=${PYTHON:-python3}
export PYTHONPATH=$root/runtime:$root/export${PYTHONPATH:+:$PYTHONPATH}
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}

# Prints the output of a build only if it fails.
build_in() {
  cmake --build "$@" >"$1/build.log" 2>&1 || { cat "$1/build.log" && return 1; }
}

# configure NAME [CMAKE OPTIONS]
configure() {
  local folder=$build/$1
  shift
  cmake -S runtime/cpp -B "$folder" -DCMAKE_PREFIX_PATH="$build/deps" -DDDPM_RT_WERROR=ON -DDDPM_RT_TESTS=ON \
    -DDDPM_RT_TEST_FILES="$build/files" "$@" >/dev/null
}

# configure_and_test NAME [CMAKE OPTIONS]
configure_and_test() {
  configure "$@"
  build_in "$build/$1"
  ctest --test-dir "$build/$1" --output-on-failure --no-tests=error
}

# check_size LIBRARY [BYTES OF KERNELS]: small devices need a library of at most 330 KB, without symbols and kernels.
check_size() {
  strip -o "$build/stripped" "$1"
  local size kernels=${2:-0}
  size=$(($(stat -c %s "$build/stripped") - kernels))
  echo "stripped library: $size bytes$( ((kernels)) && echo ", and kernels for GPUs of $kernels" )"
  ((size <= 330 * 1024)) || { echo "the library has grown beyond 330 KB" >&2 && return 1; }
}

# The example that runs a fused chain without this library, with warnings as errors.
fused_example() {
  local include
  include=$(dirname "$(find "$build/deps/include" -name onnxruntime_c_api.h | head -1)")
  cc -std=c11 -Wall -Wextra -Werror -O2 -I "$include" -o "$build/fused" runtime/cpp/examples/fused.c \
    -L "$build/deps/lib" -lonnxruntime -Wl,-rpath,"$build/deps/lib"
  "$python" scripts/fused_compare.py "$build/fused_files" "$build/fused"
}

# The GPU loop on stand-ins. Sets `gpu`, the CMake options of such a build.
on_stand_ins() {
  gpu=(-DDDPM_RT_CUDA=ON -DDDPM_RT_TENSORRT=ON -DDDPM_RT_TENSORRT_STAND_IN=ON)
  local fatbin=$build/cuda/kernels.fatbin
  if ! command -v nvcc >/dev/null && [[ ! -x /usr/local/cuda/bin/nvcc ]]; then
    echo "NOT DONE: nvcc is not installed, so the kernels are not compiled for GPUs" >&2
    fatbin=$build/no_kernels
    echo "no kernels" >"$fatbin"
    gpu+=(-DDDPM_RT_CUDA_FATBIN="$fatbin")
  fi
  configure cuda -DDDPM_RT_TOOLS=OFF "${gpu[@]}"
  build_in "$build/cuda" --target test_cuda test_no_driver
  [[ ! -f /usr/local/cuda/include/cuda.h ]] || build_in "$build/cuda" --target cuda_abi
  ctest --test-dir "$build/cuda" --output-on-failure --no-tests=error -R '^(cuda|no_driver)$'
  check_size "$build/cuda/libddpm_rt.so" "$(stat -c %s "$fatbin")"
  check_symbols "$build/cuda/libddpm_rt.so"
  gpu+=(-DDDPM_RT_CUDA_FATBIN="$fatbin") # compiled once
}

# with_tensorrt FOLDER: builds against TensorRT's headers, with a stub of the library.
with_tensorrt() {
  local stub=$build/libnvinfer.so said
  g++ -x c++ -shared -fPIC -o "$stub" - <<<'extern "C" void *createInferRuntime_INTERNAL(void *, int) { return nullptr; }
    extern "C" int getInferLibVersion() { return 0; }'
  for version in "$1"/*/; do
    configure tensorrt -DDDPM_RT_TESTS=OFF -DDDPM_RT_CUDA=ON -DDDPM_RT_TENSORRT=ON -DTENSORRT_LIBRARY="$stub" \
      -DTENSORRT_INCLUDE_DIR="${version}include" -DDDPM_RT_CUDA_FATBIN="$build/cuda/kernels.fatbin"
    build_in "$build/tensorrt"
    echo "compiled against the headers of TensorRT $(basename "$version")"
  done
  said=$("$build/tensorrt/ddpm-rt-cpp" "$build/files/toy.plan" "$build/files/ddpm.steps.json" 2>&1 || true)
  echo "without a driver or with another GPU: $said"
}

# sanitize [CMAKE OPTIONS]
sanitize() {
  ASAN_OPTIONS=detect_leaks=1 configure_and_test sanitize -DCMAKE_BUILD_TYPE=Debug -DDDPM_RT_TOOLS=OFF \
    -DDDPM_RT_SANITIZE=address,undefined "${few_units[@]}" "$@"
}

few_units=(-DCMAKE_UNITY_BUILD=ON) # half the time to compile; the build `gcc` shows that each file includes what it needs
for_arm=(-DCMAKE_TOOLCHAIN_FILE="$root/runtime/cpp/cmake/aarch64-linux-gnu.cmake")
with_clang=(-DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++)

fuzz() {
  cmake -S runtime/cpp -B "$build/fuzz" -DCMAKE_PREFIX_PATH="$build/deps" -DDDPM_RT_FUZZ=ON -DDDPM_RT_TOOLS=OFF \
    -DDDPM_RT_ONNXRUNTIME=OFF "${few_units[@]}" "${with_clang[@]}" -DDDPM_RT_SANITIZE=address,undefined >/dev/null
  build_in "$build/fuzz" --target fuzz_readers
  mkdir -p "$build/fuzz/corpus" "$build/fuzz/seeds"
  cp tests/golden/*.json tests/golden/format2/*.{card,steps}.json "$build"/files/*.plan.json \
    "$build"/files/*.png "$build"/compare/cpp/folder/* "$build/fuzz/seeds"
  "$build/fuzz/fuzz_readers" -max_total_time="$1" -max_len=65536 -print_final_stats=1 "$build/fuzz/corpus" \
    "$build/fuzz/seeds" >"$build/fuzz/log" 2>&1 || { tail -50 "$build/fuzz/log" && return 1; }
  echo "fuzzed the readers for $1 s: $(awk '/executed_units/ { print $2 }' "$build/fuzz/log") inputs, no failure"
}

# Whether clang is installed, with its sanitizers and libFuzzer.
has_clang() {
  command -v clang >/dev/null && mkdir -p "$build" &&
    clang++ -x c++ -fsanitize=fuzzer,address -o "$build/clang_works" - 2>/dev/null \
      <<<'extern "C" int LLVMFuzzerTestOneInput(const unsigned char *, unsigned long) { return 0; }'
}

ci() {
  if has_clang; then
    sanitize "${with_clang[@]}"
    fuzz 15
  else
    echo "NOT DONE: clang with libFuzzer is not installed, so the readers are not fuzzed; gcc builds for the" \
      "sanitizers" >&2
    sanitize
  fi
}

# The library exports only the functions of the C header.
check_symbols() {
  local others
  others=$(nm -D --defined-only "$1" | awk '$2 == "T" { print $3 }' | grep -v '^ddpm_rt_[a-z_]*$' || true)
  [[ -z $others ]] || { echo "the library exports more than its header declares: $others" >&2 && return 1; }
}

scripts/cpp_deps.sh "$build/deps" "$python"
"$python" scripts/cpp_files.py "$build/files"
configure_and_test gcc
check_size "$build/gcc/libddpm_rt.so"
check_symbols "$build/gcc/libddpm_rt.so"
scripts/cpp_install_test.sh "$build"
"$python" scripts/cpp_compare.py "$build/prefix/bin/ddpm-rt-cpp" "$build/files" "$build/compare"
"$python" scripts/cpp_commands.py "$build/prefix/bin/ddpm-rt-cpp" "$build/files" "$build/compare"
fused_example
on_stand_ins
for more in "$@"; do
  case $more in
    ci) ci ;;
    sanitize) sanitize "${gpu[@]}" ;;
    tsan) configure_and_test tsan -DCMAKE_BUILD_TYPE=RelWithDebInfo -DDDPM_RT_SANITIZE=thread "${gpu[@]}" ;;
    clang) configure_and_test clang "${with_clang[@]}" "${gpu[@]}" ;;
    fuzz) fuzz "${FUZZ_SECONDS:-60}" ;;
    dist) PYTHON=$python scripts/cpp_dist.sh ;;
    tensorrt) with_tensorrt "${TENSORRT_HEADERS:?a folder with VERSION/include of each release}" ;;
    arm)
      # qemu-user 7.2 of Debian 12 crashes when ONNX Runtime starts, and the one in deps/bin does not.
      scripts/cpp_deps.sh "$build/deps" "$python" aarch64
      PATH=$build/deps/bin:$PATH
      configure_and_test arm "${for_arm[@]}" \
        -DONNXRUNTIME_LIBRARY="$build/deps/lib-aarch64/libonnxruntime.so"
      configure arm-gpu "${for_arm[@]}" "${gpu[@]}" -DDDPM_RT_ONNXRUNTIME=OFF -DDDPM_RT_TOOLS=OFF
      build_in "$build/arm-gpu" --target test_cuda
      ctest --test-dir "$build/arm-gpu" --output-on-failure --no-tests=error -R '^cuda$'
      ;;
    *)
      echo "cpp_test.sh knows ci, sanitize, tsan, fuzz, clang, arm, dist and tensorrt, not '$more'" >&2
      exit 2
      ;;
  esac
done
