#!/usr/bin/env bash
# runtime/cpp from nothing to the same pictures as Python: scripts/cpp_test.sh [sanitize] [tsan] [fuzz] [clang] [arm]
#
# Always: build with gcc, ctest, install, build the examples against the package, compare with Python. The words add
# what takes longer or needs more of the machine: the address and undefined sanitizers, the thread sanitizer, libFuzzer
# on the two readers for FUZZ_SECONDS, a build with clang, and the tests of noise, tables and loop as ARM binaries.
#
# PYTHON has numpy, onnx and onnxruntime. CMAKE_GENERATOR and CMAKE_BUILD_PARALLEL_LEVEL say how CMake builds.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
build=$root/build/cpp
python=${PYTHON:-python3}
export PYTHONPATH=$root/runtime${PYTHONPATH:+:$PYTHONPATH}

# What a build says is of interest only when it fails.
build_in() {
  cmake --build "$@" >"$1/build.log" 2>&1 || { cat "$1/build.log" && return 1; }
}

# configure_and_test NAME [CMAKE OPTIONS]
configure_and_test() {
  local folder=$build/$1
  shift
  cmake -S runtime/cpp -B "$folder" -DCMAKE_PREFIX_PATH="$build/deps" -DDDPM_RT_WERROR=ON -DDDPM_RT_TESTS=ON \
    -DDDPM_RT_TEST_FILES="$build/files" "$@" >/dev/null
  build_in "$folder"
  ctest --test-dir "$folder" --output-on-failure --no-tests=error
}

# At most 300 KB without symbols: it is meant for small devices.
check_size() {
  strip -o "$build/stripped" "$1"
  local size
  size=$(stat -c %s "$build/stripped")
  echo "stripped library: $size bytes"
  ((size <= 300 * 1024)) || { echo "the library has grown beyond 300 KB" >&2 && return 1; }
}

# Only what the C header declares leaves the library.
check_symbols() {
  local others
  others=$(nm -D --defined-only "$1" | awk '$2 == "T" { print $3 }' | grep -v '^ddpm_rt_[a-z_]*$' || true)
  [[ -z $others ]] || { echo "the library exports more than its header says: $others" >&2 && return 1; }
}

# build_examples NAME CMAKE_OPTIONS: builds and runs them.
build_examples() {
  local folder=$build/$1
  shift
  cmake -S runtime/cpp/examples -B "$folder" "$@" >/dev/null
  build_in "$folder"
  "$folder/embed_c" "$build/files/gaussian.onnx" "$build/files/ddim.steps.json" >"$folder/image.pgm"
  [[ $(head -c 2 "$folder/image.pgm") == P5 ]]
  "$folder/embed_cpp" "$build/files/gaussian.onnx" "$build/files/ddim.steps.json" | tail -1
}

# The examples against the installed package by CMake and the C one by pkg-config, and with a static library as a part
# of their own build.
embed() {
  rm -rf "$build/prefix" "$build/embed" "$build/embed-static"
  cmake --install "$build/gcc" --prefix "$build/prefix" >/dev/null
  build_examples embed -DCMAKE_PREFIX_PATH="$build/prefix"
  build_examples embed-static -DDDPM_RT_SOURCE="$root/runtime/cpp" -DBUILD_SHARED_LIBS=OFF \
    -DCMAKE_PREFIX_PATH="$build/deps"
  if command -v pkg-config >/dev/null; then
    local flags
    flags=$(PKG_CONFIG_PATH=$(dirname "$(find "$build/prefix" -name ddpm_rt.pc)") \
      pkg-config --define-variable=prefix="$build/prefix" --cflags --libs ddpm_rt)
    # shellcheck disable=SC2086 # flags are words
    cc runtime/cpp/examples/embed.c $flags -Wl,-rpath-link,"$build/deps/lib" -o "$build/embed/embed_pkg_config"
  fi
}

scripts/cpp_deps.sh "$build/deps" "$python"
"$python" scripts/cpp_files.py "$build/files"
configure_and_test gcc
check_size "$build/gcc/libddpm_rt.so"
check_symbols "$build/gcc/libddpm_rt.so"
embed
"$python" scripts/cpp_compare.py "$build/prefix/bin/ddpm-rt-cpp" "$build/files" "$build/compare"
for more in "$@"; do
  case $more in
    sanitize)
      ASAN_OPTIONS=detect_leaks=1 configure_and_test sanitize -DCMAKE_BUILD_TYPE=Debug \
        -DDDPM_RT_SANITIZE=address,undefined
      ;;
    tsan)
      configure_and_test tsan -DCMAKE_BUILD_TYPE=RelWithDebInfo -DDDPM_RT_SANITIZE=thread
      ;;
    clang)
      configure_and_test clang -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++
      ;;
    fuzz)
      cmake -S runtime/cpp -B "$build/fuzz" -DCMAKE_PREFIX_PATH="$build/deps" -DDDPM_RT_FUZZ=ON -DDDPM_RT_TOOLS=OFF \
        -DCMAKE_C_COMPILER=clang -DCMAKE_CXX_COMPILER=clang++ -DDDPM_RT_SANITIZE=address,undefined >/dev/null
      build_in "$build/fuzz" --target fuzz_readers
      mkdir -p "$build/fuzz/corpus"
      "$build/fuzz/fuzz_readers" -max_total_time="${FUZZ_SECONDS:-60}" -max_len=65536 -print_final_stats=1 \
        "$build/fuzz/corpus" tests/golden
      ;;
    arm)
      # Everything is built; qemu-user 7.2 dies in ONNX Runtime's own start-up, so what runs is all without an engine.
      scripts/cpp_deps.sh "$build/deps" "$python" aarch64
      configure_and_test arm -DCMAKE_TOOLCHAIN_FILE="$root/runtime/cpp/cmake/aarch64-linux-gnu.cmake" \
        -DONNXRUNTIME_LIBRARY="$build/deps/lib-aarch64/libonnxruntime.so" -DDDPM_RT_TEST_FILES=
      ;;
    *)
      echo "cpp_test.sh knows sanitize, tsan, fuzz, clang and arm, not '$more'" >&2
      exit 2
      ;;
  esac
done
