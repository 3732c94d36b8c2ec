# shellcheck shell=bash disable=SC2154 # the scripts that source this file set the variables
# Functions that use an installed library as a program would: for cpp_install_test.sh and cpp_dist.sh, which set `build`,
# a folder for what is built, and `arguments` of the examples: a model, and maybe a steps file.

run=() # an emulator, for the programs of another processor
compiler=cc

quiet() {
  "$@" >"$build/install.log" 2>&1 || { cat "$build/install.log" >&2 && return 1; }
}

# examples NAME [CMAKE OPTIONS]: builds the examples and runs them.
examples() {
  local folder=$build/$1
  rm -rf "$folder"
  quiet cmake -S runtime/cpp/examples -B "$folder" "${@:2}"
  quiet cmake --build "$folder" -j
  "${run[@]}" "$folder/embed_c" "${arguments[@]}" >"$folder/image.pgm"
  [[ $(head -c 2 "$folder/image.pgm") == P5 ]]
  echo "$1: $("${run[@]}" "$folder/embed_cpp" "${arguments[@]}" | tail -1)"
}

# same_image NAME IMAGE PROGRAM: the program must write this image.
same_image() {
  "${@:3}" "${arguments[@]}" | cmp - "$2"
  echo "$1: the same image"
}

# with_pkg_config NAME PREFIX IMAGE PKG_CONFIG_OPTIONS [LINKER OPTIONS]: compiles the C example and runs it.
with_pkg_config() {
  local flags pkg_config_path
  pkg_config_path=$(dirname "$(find "$2" -name ddpm_rt.pc)")
  # shellcheck disable=SC2086 # the options and flags are words
  flags=$(PKG_CONFIG_PATH=$pkg_config_path pkg-config $4 --cflags --libs ddpm_rt)
  # shellcheck disable=SC2086
  "$compiler" runtime/cpp/examples/embed.c $flags "${@:5}" -o "$build/$1"
  same_image "$1" "$3" "${run[@]}" "$build/$1"
}

# other_languages PREFIX IMAGE: the examples in Python and Rust, on this machine.
other_languages() {
  local library
  library=$(find "$1" -name libddpm_rt.so.0)
  DDPM_RT_LIBRARY=$library same_image "embed.py" "$2" "$python" runtime/cpp/examples/embed.py
  if command -v rustc >/dev/null; then
    quiet rustc -O runtime/cpp/examples/embed.rs -o "$build/embed_rs" -L "native=$(dirname "$library")" \
      -C "link-arg=-Wl,-rpath,$(dirname "$library")"
    same_image "embed.rs" "$2" "$build/embed_rs"
  else
    echo "NOT DONE: rustc is not installed, so the example in Rust is not run" >&2
  fi
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
