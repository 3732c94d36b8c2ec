#!/usr/bin/env bash
# Collect the dependencies of runtime/cpp in one folder, on Debian: scripts/cpp_deps.sh PREFIX [PYTHON [PROCESSOR]]
#
# The headers come from packages of Debian trixie (ONNX Runtime, nlohmann-json, stb, doctest), which are downloaded from
# apt's mirror and unpacked, not installed. apt's settings and lists do not change, and root is not needed.
# The library comes from the `onnxruntime` wheel of PYTHON, so that C++ and Python run the same code. For another
# PROCESSOR (aarch64), the wheel of the same version is downloaded, and its library goes to PREFIX/lib-PROCESSOR. Debian
# trixie's qemu-user, which runs programs for it, goes to PREFIX/bin. PREFIX/licences has the licences of all these.
#
# Ubuntu 22.04 and 24.04 have no package of ONNX Runtime's headers: docs/cpp.md says what to install there.
set -euo pipefail
prefix=$(mkdir -p "$1" && cd "$1" && pwd)
python=${2:-python3}
processor=${3:-}
packages=(libonnxruntime-dev nlohmann-json3-dev libstb-dev doctest-dev)
apt=$prefix/apt

# The sources entry for trixie, made from the Debian entry of this machine.
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

check_system() {
  local name
  name=$(. /etc/os-release 2>/dev/null && echo "${ID:-unknown}" || echo unknown)
  [[ $name == debian ]] && command -v apt-get >/dev/null && return
  echo "cpp_deps.sh works on Debian, not on $name; docs/cpp.md, section 2, says what to install on other systems" >&2
  return 1
}

# unpack PACKAGES: into $apt/root
unpack() {
  check_system
  mkdir -p "$apt"/{sources,lists/partial,cache/archives/partial,packages}
  trixie_entry >"$apt/sources/trixie.sources"
  local options=(-o Dir::Etc::sourcelist=/dev/null -o "Dir::Etc::sourceparts=$apt/sources"
    -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache" -o Acquire::Languages=none
    -o APT::Sandbox::User=root -o Dir::Etc::preferencesparts=/dev/null)
  apt-get -qq "${options[@]}" update
  (cd "$apt/packages" && apt-get -qq "${options[@]}" download "$@")
  for package in "$apt"/packages/*.deb; do dpkg -x "$package" "$apt/root"; done
}

headers() {
  unpack "${packages[@]}"
  rm -rf "$prefix"/{include,licences}
  mkdir -p "$prefix/licences"
  mv "$apt/root/usr/include" "$prefix/include"
  cp "$apt/root/usr/share/doc/nlohmann-json3-dev/copyright" "$prefix/licences/nlohmann-json.txt"
  cp "$apt/root/usr/share/doc/libstb-dev/copyright" "$prefix/licences/stb.txt"
  rm -rf "$apt"
}

emulator() {
  unpack qemu-user
  mkdir -p "$prefix/bin"
  mv "$apt/root/usr/bin/qemu-$processor" "$prefix/bin"
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
  cp "$1/LICENSE" "$prefix/licences/onnxruntime.txt"
  cp "$1/ThirdPartyNotices.txt" "$prefix/licences/onnxruntime-third-parties.txt"
}

[[ -d $prefix/licences ]] || headers
if [[ -z $processor ]]; then
  link_library "$(installed_wheel)" "$prefix/lib"
else
  link_library "$(fetched_wheel)" "$prefix/lib-$processor"
  [[ -x $prefix/bin/qemu-$processor ]] || emulator
fi
