#!/usr/bin/env bash
# What runtime/cpp is built from, in one prefix: scripts/cpp_deps.sh PREFIX [PYTHON [PROCESSOR]]
#
# Headers are Debian trixie's packages (ONNX Runtime, nlohmann-json, stb, doctest), unpacked and not installed, from the
# mirror that this machine's apt already uses; its own lists and settings are left as they are, and no root is needed.
# The library is the one in the `onnxruntime` wheel of PYTHON, so that C++ and Python run the same kernels; for another
# PROCESSOR (aarch64) that wheel of the same version is fetched, and its library is in PREFIX/lib-PROCESSOR.
set -euo pipefail
prefix=$(mkdir -p "$1" && cd "$1" && pwd)
python=${2:-python3}
processor=${3:-}
packages=(libonnxruntime-dev nlohmann-json3-dev libstb-dev doctest-dev)

# The trixie twin of the Debian entry that apt has here.
trixie_entry() {
  local entry
  entry=$(cat /etc/apt/sources.list.d/debian.sources 2>/dev/null || true)
  if [[ -n $entry ]]; then
    sed -n '1,/^$/p' <<<"$entry" | sed -E '/^#/d; s/^Suites:.*/Suites: trixie/'
  else
    grep -E '^deb .* main' /etc/apt/sources.list | head -1 |
      sed -E 's/^deb +(\[[^]]*\] +)?([^ ]+) +[^ ]+.*/Types: deb\nURIs: \2\nSuites: trixie\nComponents: main/'
  fi
}

headers() {
  local apt=$prefix/apt
  mkdir -p "$apt"/{sources,lists/partial,cache/archives/partial,packages}
  trixie_entry >"$apt/sources/trixie.sources"
  local options=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt/sources"
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o Acquire::Languages=none
    -o APT::Sandbox::User=root -o Dir::Etc::preferencesparts=/dev/null)
  apt-get -qq "${options[@]}" update
  (cd "$apt/packages" && apt-get -qq "${options[@]}" download "${packages[@]}")
  for package in "$apt"/packages/*.deb; do dpkg -x "$package" "$apt/root"; done
  rm -rf "$prefix/include"
  mv "$apt/root/usr/include" "$prefix/include"
  rm -rf "$apt"
}

installed_wheel() {
  "$python" -c 'import importlib.util as u; print(u.find_spec("onnxruntime").submodule_search_locations[0])'
}

fetched_wheel() {
  local version folder=$prefix/wheel-$processor
  version=$("$python" -c 'from importlib.metadata import version; print(version("onnxruntime"))')
  if [[ ! -d $folder/onnxruntime ]]; then
    "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$folder" \
      --platform "manylinux_2_28_$processor" --platform "manylinux_2_27_$processor" "onnxruntime==$version"
    "$python" -m zipfile -e "$folder"/*.whl "$folder"
  fi
  echo "$folder/onnxruntime"
}

# link_library WHEEL LIB
link_library() {
  local file
  file=$(ls "$1"/capi/libonnxruntime.so.* | head -1)
  mkdir -p "$2"
  ln -sf "$file" "$2/libonnxruntime.so"
  ln -sf "$file" "$2/libonnxruntime.so.1" # its soname
}

[[ -f $prefix/include/nlohmann/json.hpp ]] || headers
if [[ -z $processor ]]; then
  link_library "$(installed_wheel)" "$prefix/lib"
else
  link_library "$(fetched_wheel)" "$prefix/lib-$processor"
fi
