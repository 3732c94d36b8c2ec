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
arguments=("$build/files/gaussian.onnx" "$build/files/ddim.steps.json")
python=${PYTHON:-python3}
unset LD_LIBRARY_PATH
source scripts/cpp_use.sh

restore() {
  [[ -d $hidden ]] || return 0
  mv "$hidden"/* "$build"
  rmdir "$hidden"
}
trap restore EXIT

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
with_pkg_config embed_pkg_config "$build/prefix" "$build/embed/image.pgm" "" -Wl,-rpath,"$libraries"
other_languages "$build/prefix" "$build/embed/image.pgm"
restore
with_pkg_config embed_pkg_config_static "$build/prefix-static" "$build/embed/image.pgm" --static -L"$build/deps/lib" -Wl,-rpath,"$build/deps/lib"
