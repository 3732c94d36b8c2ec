#!/usr/bin/env bash
# Check the types of runtime/js, test it in Node and in Chromium, and compare its images with Python's:
#
#     scripts/js_test.sh
#
# Needs Node.js 20 or newer with npm, and the network for the first run: npm installs what package-lock.json names, and
# runs no script of a package. The tests in a browser need Chromium (apt install chromium, or CHROMIUM=PATH).
# PYTHON needs numpy, onnx and onnxruntime.
set -euo pipefail
cd "$(dirname "$0")/.."
root=$PWD
python=${PYTHON:-python3}
files=$root/build/js/files
export PYTHONPATH=$root/runtime:$root/export${PYTHONPATH:+:$PYTHONPATH} DDPM_RT_JS_FILES=$files

major=$(node --version 2>/dev/null | sed -E 's/^v([0-9]+).*/\1/' || true)
if [[ -z $major ]] || ((major < 20)) || ! command -v npm >/dev/null; then
  echo "NOT DONE: Node.js 20 or newer with npm is not installed (${major:-none} found), so runtime/js is not tested" >&2
  exit 0
fi

cd runtime/js
if [[ ! node_modules/.package-lock.json -nt package-lock.json ]]; then
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
  touch node_modules/.package-lock.json
fi
"$python" "$root/scripts/js_files.py" "$files" node_modules/onnxruntime-web/dist
npx tsc
node --test test/*.test.js >"$files/log" 2>&1 || { cat "$files/log" && exit 1; }
"$python" "$root/scripts/fused_compare.py" "$files/fused" node examples/fused.mjs
node examples/sample.mjs "$files/mnist.onnx" "$files/mnist-ddim.steps.json" >"$files/sample.log"
grep -E '^# (tests|pass|fail|skipped)|NOT DONE' "$files/log" | sort -u
