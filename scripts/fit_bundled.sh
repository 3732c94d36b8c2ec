#!/usr/bin/env bash
# Fit the tables of the bundled model, and embed them in its file. Run this script after every new export of the model.
# It takes about three minutes on two idle cores. Existing tables of the same number of calls are replaced.
#     scripts/fit_bundled.sh [model.onnx [OPTIONS OF TUNE]]
# A class-conditional model is fitted to every class in turn.
set -euo pipefail
cd "$(dirname "$0")/.."
model=${1:-runtime/ddpm_rt/models/mnist.onnx}
for calls in 6 10; do
  ddpm-rt tune "$model" --calls "$calls" --provider cpu --batch 32 --embed "${@:2}"
done
ddpm-rt inspect "$model"
