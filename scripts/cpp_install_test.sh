#!/usr/bin/env bash
# Install runtime/cpp and use it in every way that docs/cpp.md describes: scripts/cpp_install_test.sh BUILD
#
# BUILD is the folder of scripts/cpp_test.sh, which contains the build `gcc`, the dependencies `deps` and the models
# `files`. The installed library is moved, and used without the build and the dependencies, as on another machine.
# Leaves the installed files in BUILD/prefix.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
build=$(cd "$1" && pwd)
hidden=$build/hidden
model=$build/files/gaussian.onnx
steps=$build/files/ddim.steps.json
unset LD_LIBRARY_PATH

quiet() {
  "$@" >"$build/install.log" 2>&1 || { cat "$build/install.log" >&2 && return 1; }
}

restore() {
  [[ -d $hidden ]] || return 0
  mv "$hidden"/* "$build"
  rmdir "$hidden"
}
trap restore EXIT

# examples NAME [CMAKE OPTIONS]: builds the examples and runs them.
examples() {
  local folder=$build/$1
  rm -rf "$folder"
  quiet cmake -S runtime/cpp/examples -B "$folder" "${@:2}"
  quiet cmake --build "$folder" -j
  "$folder/embed_c" "$model" "$steps" >"$folder/image.pgm"
  [[ $(head -c 2 "$folder/image.pgm") == P5 ]]
  echo "$1: $("$folder/embed_cpp" "$model" "$steps" | tail -1)"
}

# with_pkg_config NAME PREFIX PKG_CONFIG_OPTIONS [LINKER OPTIONS]: compiles the C example and runs it.
with_pkg_config() {
  local program=$build/$1 flags pkg_config_path
  pkg_config_path=$(dirname "$(find "$2" -name ddpm_rt.pc)")
  # shellcheck disable=SC2086 # the options and flags are words
  flags=$(PKG_CONFIG_PATH=$pkg_config_path pkg-config $3 --cflags --libs ddpm_rt)
  # shellcheck disable=SC2086
  cc runtime/cpp/examples/embed.c $flags "${@:4}" -o "$program"
  "$program" "$model" "$steps" | cmp - "$build/embed/image.pgm"
  echo "$1: the same image"
}

# No file of the installed prefix may name a path of this machine.
check_relocatable() {
  local found
  for file in "$1"/lib*/*.so "$1"/bin/*; do
    found=$(readelf -d "$file" | grep -E 'RPATH|RUNPATH' | grep -v '\[\$ORIGIN[^:]*\]' || true)
    [[ -z $found ]] || { echo "$file has a RUNPATH of this machine: $found" >&2 && return 1; }
  done
  found=$(grep -rlI "$build" "$1" || true)
  [[ -z $found ]] || { echo "paths of the build are in: $found" >&2 && return 1; }
}

rm -rf "$build/prefix" "$build/first_prefix"
quiet cmake --install "$build/gcc" --prefix "$build/first_prefix"
mv "$build/first_prefix" "$build/prefix"
check_relocatable "$build/prefix"

# A static library is part of the build of the program, or installed with its dependencies beside it.
examples embed-static -DDDPM_RT_SOURCE="$root/runtime/cpp" -DBUILD_SHARED_LIBS=OFF -DCMAKE_PREFIX_PATH="$build/deps" \
  -DCMAKE_UNITY_BUILD=ON # compiles in half the time
rm -rf "$build/prefix-static"
quiet cmake --install "$build/embed-static" --prefix "$build/prefix-static"
examples embed-static-installed -DCMAKE_PREFIX_PATH="$build/prefix-static;$build/deps"

mkdir -p "$hidden"
mv "$build/gcc" "$build/deps" "$hidden"
examples embed -DCMAKE_PREFIX_PATH="$build/prefix"
"$build/prefix/bin/ddpm-rt-cpp" --version
libraries=$(dirname "$(find "$build/prefix" -name libddpm_rt.so)")
with_pkg_config embed_pkg_config "$build/prefix" "" -Wl,-rpath,"$libraries"
restore
with_pkg_config embed_pkg_config_static "$build/prefix-static" --static -L"$build/deps/lib" -Wl,-rpath,"$build/deps/lib"
