#!/usr/bin/env bash
# Train and export the bundled model: hours on one CPU core, minutes on a GPU. An interrupted script resumes.
#     scripts/train_mnist.sh mnist.npz [runs/mnist]
set -euo pipefail
data=$(realpath "${1:?give the .npz of MNIST: train_images uint8 [60000, 28, 28, 1], train_labels [60000]}")
run=$(realpath -m "${2:-runs/mnist}")
cd "$(dirname "$0")/.."
# Each command ends with a learning rate of 0 and leaves a finished model; the next one restarts at the full rate. The
# first command gives an early model to look at.
ddpm-rt train --preset mnist --data "$data" --out "$run" --steps 4000 --cooldown-steps 1000
ddpm-rt train --preset mnist --data "$data" --out "$run" --steps 12000 --cooldown-steps 3800
ddpm-rt export "$run" -o runtime/ddpm_rt/models/mnist.onnx
scripts/fit_bundled.sh
ddpm-rt sample --count 100 --out samples.png
