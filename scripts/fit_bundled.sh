#!/usr/bin/env bash
# The fitted tables of the bundled model, from the model to the committed file: run it after the model was exported anew.
# Some three minutes on two quiet cores. What the file carries already of as many calls is replaced.
#     scripts/fit_bundled.sh [model.onnx [OPTIONS OF TUNE]]
# A class-conditional model is fitted to every class in turn.
set -euo pipefail
cd "$(dirname "$0")/.."
model=${1:-runtime/ddpm_rt/models/mnist.onnx}
for calls in 6 10; do
  ddpm-rt tune "$model" --calls "$calls" --provider cpu --batch 32 --embed "${@:2}"
done
ddpm-rt inspect "$model"
