#!/usr/bin/env bash
# The recipe of the bundled model, from the data to the committed file. Two to three hours on one CPU core, minutes on a
# GPU. Interrupted, it goes on where it stopped.
#     scripts/train_mnist.sh mnist.npz [runs/mnist]
set -euo pipefail
data=$(realpath "${1:?give the .npz of MNIST: train_images uint8 [60000, 28, 28, 1]}")
run=$(realpath -m "${2:-runs/mnist}")
cd "$(dirname "$0")/.."
# In two legs, each cooled down to a learning rate of 0: the second starts again at the full rate.
ddpm-rt train --preset mnist --data "$data" --out "$run" --steps 16000 --cooldown-steps 5000
ddpm-rt train --preset mnist --data "$data" --out "$run" --steps 22000 --cooldown-steps 6000
ddpm-rt export "$run" -o runtime/ddpm_rt/models/mnist.onnx
ddpm-rt sample --count 64 --out samples.png
