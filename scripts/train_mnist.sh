#!/usr/bin/env bash
# The recipe of the bundled model, from the data to the committed file. An hour or so on two CPU cores, a few on a GPU.
# Interrupted, it goes on where it stopped.
#     scripts/train_mnist.sh mnist.npz [runs/mnist]
set -euo pipefail
data=$(realpath "${1:?give the .npz of MNIST: train_images uint8 [60000, 28, 28, 1]}")
run=$(realpath -m "${2:-runs/mnist}")
cd "$(dirname "$0")/.."
ddpm-rt train --preset mnist --data "$data" --out "$run"
ddpm-rt export "$run" -o runtime/ddpm_rt/models/mnist.onnx
ddpm-rt sample --count 64 --out samples.png
