"""Edit an image: draw similar images, redraw its lower half, interpolate between samples, and find its noise."""

import numpy as np
from PIL import Image

import ddpm_rt

request = ddpm_rt.Request(seed=3, count=4, steps=20)
mask = np.zeros((28, 28), bool)
mask[14:] = True  # True is redrawn, False is kept

with ddpm_rt.open_denoiser() as engine:
    image = ddpm_rt.sample(engine, seed=7, count=1, steps=20)[0]  # float32 [1, 28, 28] in [-1, 1]
    alike = ddpm_rt.from_image(image, engine, strength=0.4, request=request)
    inpainted = ddpm_rt.inpaint(image, mask, engine, request=request)
    between = ddpm_rt.interpolate(0, 3, engine, frames=4, request=request)
    steps = ddpm_rt.Request(steps=50)
    again = ddpm_rt.from_noise(ddpm_rt.invert(image, engine, request=steps), engine, request=steps)

assert np.array_equal(inpainted[:, :, ~mask], np.repeat(image[None][:, :, ~mask], 4, axis=0))
print(f"after inversion and back, the image differs by {np.abs(again[0] - image).mean():.3f} on average")

rows = [np.concatenate(list(images[:, 0]), axis=1) for images in (alike, inpainted, between)]
pixels = np.clip((np.concatenate(rows) + 1) * 127.5, 0, 255).round().astype(np.uint8)
Image.fromarray(pixels).save("edits.png")
