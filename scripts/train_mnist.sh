#!/usr/bin/env bash
# The recipe of the bundled model, from the data to the committed file: some hours on one CPU core, minutes on a GPU.
# Interrupted, it resumes where it stopped.
#     scripts/train_mnist.sh mnist.npz [runs/mnist]
set -euo pipefail
data=$(realpath "${1:?give the .npz of MNIST: train_images uint8 [60000, 28, 28, 1], train_labels [60000]}")
run=$(realpath -m "${2:-runs/mnist}")
cd "$(dirname "$0")/.."
# In legs, each cooled down to a learning rate of 0, so that each leaves a finished model; the next starts again at the full
# rate. The first is there to be looked at early.
ddpm-rt train --preset mnist --data "$data" --out "$run" --steps 4000 --cooldown-steps 1000
ddpm-rt train --preset mnist --data "$data" --out "$run" --steps 16000 --cooldown-steps 5000
ddpm-rt train --preset mnist --data "$data" --out "$run" --steps 30000 --cooldown-steps 8000
ddpm-rt export "$run" -o runtime/ddpm_rt/models/mnist.onnx
ddpm-rt sample --count 100 --out samples.png
