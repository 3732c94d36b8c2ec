"""Draw digits, and draw one of them again by its number."""

import numpy as np
from PIL import Image

import ddpm_rt

with ddpm_rt.open_denoiser() as engine:  # the bundled model; or the path of an .onnx or a .plan
    images = ddpm_rt.sample(engine, seed=7, count=8, batch=4, steps=20)  # float32 [8, 1, 28, 28] in [-1, 1]
    again = ddpm_rt.sample(engine, seed=7, first=5, count=1, steps=20)

difference = np.abs(again[0] - images[5]).max()
print(f"sample 5 alone differs from sample 5 in its batch by at most {difference:.1e}")

row = np.concatenate(list(images[:, 0]), axis=1)  # [28, 8 * 28]
Image.fromarray(np.clip((row + 1) * 127.5, 0, 255).round().astype(np.uint8)).save("digits.png")
