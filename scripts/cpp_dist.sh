#!/usr/bin/env bash
# Build archives of runtime/cpp that run from any folder, and use each from a fresh one: scripts/cpp_dist.sh [PROCESSOR...]
#
# Writes build/dist/ddpm_rt-VERSION-linux-PROCESSOR.tar.gz: the library, ddpm-rt-cpp, the headers, files for CMake and
# pkg-config, ONNX Runtime's library beside ours, and all licences. A PROCESSOR other than this machine's is aarch64:
# Debian's g++-aarch64-linux-gnu builds, and qemu-user runs the programs. Without arguments: x86_64 and aarch64.
#
# PYTHON needs onnxruntime, whose library is in the archive. CMAKE_BUILD_PARALLEL_LEVEL controls CMake.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
build=$root/build/dist
deps=$root/build/cpp/deps
python=${PYTHON:-python3}
arguments=("$root/runtime/ddpm_rt/models/mnist.onnx") # contains its table
export CMAKE_BUILD_PARALLEL_LEVEL=${CMAKE_BUILD_PARALLEL_LEVEL:-$(nproc)}
unset LD_LIBRARY_PATH
source scripts/cpp_use.sh
mkdir -p "$build"

# for_processor PROCESSOR: sets how to build and run for it.
for_processor() {
  processor=$1 target=() run=() compiler=cc
  scripts/cpp_deps.sh "$deps" "$python"
  [[ $processor != "$(uname -m)" ]] || return 0
  [[ $processor == aarch64 ]] || { echo "cpp_dist.sh cannot build for $processor on $(uname -m)" >&2 && return 1; }
  scripts/cpp_deps.sh "$deps" "$python" aarch64
  PATH=$deps/bin:$PATH
  target=(-DCMAKE_TOOLCHAIN_FILE="$root/runtime/cpp/cmake/aarch64-linux-gnu.cmake")
  run=("$deps/bin/qemu-aarch64" -L /usr/aarch64-linux-gnu)
  compiler=aarch64-linux-gnu-gcc
}

# The newest version of a symbol family that the libraries need from the system, such as GLIBC_2.34.
needs() {
  readelf --version-info "$prefix"/lib/*.so* "$prefix"/bin/* 2>/dev/null | grep -oE "\b$1_[0-9.]+" | sort -Vu | tail -1
}

pack() {
  local library=$deps/lib${target[0]:+-$processor}/libonnxruntime.so
  quiet cmake -S runtime/cpp -B "$build/$processor" "${target[@]}" -DCMAKE_PREFIX_PATH="$deps" -DDDPM_RT_WERROR=ON \
    -DONNXRUNTIME_LIBRARY="$library" -DDDPM_RT_INSTALL_ONNXRUNTIME=ON
  quiet cmake --build "$build/$processor"
  name=ddpm_rt-$(sed -n 's/^#define DDPM_RT_VERSION "\(.*\)"/\1/p' runtime/cpp/include/ddpm_rt.h)-linux-$processor
  prefix=$build/stage/$name
  rm -rf "$build/stage"
  quiet cmake --install "$build/$processor" --strip --prefix "$prefix"
  cp "$deps"/licences/* "$prefix/share/doc/ddpm_rt"
  check_relocatable "$prefix"
  tar --create --gzip --file "$build/$name.tar.gz" --sort=name --owner=0 --group=0 --numeric-owner \
    --mtime="@$(git log -1 --format=%ct 2>/dev/null || echo 0)" --directory "$build/stage" "$name"
  echo "build/dist/$name.tar.gz: $(stat -c %s "$build/$name.tar.gz") bytes; needs $(needs GLIBC) and $(needs GLIBCXX)"
  rm -rf "$build/stage" "${build:?}/$processor"
}

# Uses the archive in a fresh folder, after the build was removed.
use() {
  local fresh=$build/fresh image=$build/embed-$processor/image.pgm
  rm -rf "$fresh"
  mkdir -p "$fresh"
  tar --extract --file "$build/$name.tar.gz" --directory "$fresh"
  prefix=$fresh/$name
  (cd / && "${run[@]}" "$prefix/bin/ddpm-rt-cpp" --version)
  examples "embed-$processor" -DCMAKE_PREFIX_PATH="$prefix" "${target[@]}"
  with_pkg_config "embed_pkg_config-$processor" "$prefix" "$image" "" -Wl,-rpath,"$prefix/lib"
  [[ -n ${target[0]:-} ]] || other_languages "$prefix" "$image"
  rm -rf "$fresh"
}

[[ $# -gt 0 ]] || set -- x86_64 aarch64
for one in "$@"; do
  if [[ $one == aarch64 && $(uname -m) != aarch64 ]] && ! command -v aarch64-linux-gnu-g++ >/dev/null; then
    echo "NOT DONE: g++-aarch64-linux-gnu is not installed, so there is no archive for aarch64" >&2
    continue
  fi
  for_processor "$one"
  pack
  use
done
