"""One PNG with the same samples, drawn by the teacher, by the fitted table and by its baselines."""

from pathlib import Path

import numpy as np

from ..denoiser import Batch
from ..images.font import font
from ..images.write import Pixels, enlarged, save_png, to_pixels
from .fitting import Fitted

SIDE = 64  # pixels; smaller images are enlarged to about this side
MARGIN, LINE = 12, 24  # pixels
INK, PAPER = "#1a1a1a", "#ffffff"


def save_comparison(path: Path, fitted: Fitted) -> None:
    """Write the held-out samples of `fitted`: one row of images for each table, below the table's name and error."""
    picture = comparison(fitted)
    save_png(path, picture, {"ddpm-rt.sampler": fitted.sampler.sampler})


def comparison(fitted: Fitted) -> Pixels:
    """The picture, uint8 `[H, W, 3]`."""
    from PIL import Image, ImageDraw

    errors = fitted.distances.rms
    rows = {name: strip(images) for name, images in fitted.distances.images.items()}
    height, width = next(iter(rows.values())).shape[:2]
    canvas = Image.new("RGB", (max(width, 480) + 2 * MARGIN, len(rows) * (height + LINE) + 2 * MARGIN), PAPER)
    pen, top = ImageDraw.Draw(canvas), MARGIN
    for name, pixels in rows.items():
        error = f", RMS error {errors[name]:.4f}" if name in errors else f", {fitted.fit.teacher_calls} calls"
        pen.text((MARGIN, top), f"{name}{error}", INK, font(14))
        canvas.paste(Image.fromarray(pixels), (MARGIN, top + LINE))
        top += height + LINE
    return np.asarray(canvas)


def strip(images: Batch) -> Pixels:
    """Images `[N, C, H, W]` side by side in RGB, small ones enlarged by a whole factor: uint8 `[H, W, 3]`."""
    shown = images if images.shape[1] == 3 else np.repeat(images[:, :1], 3, axis=1)
    pixels = to_pixels(shown)
    factor = -(-SIDE // pixels.shape[1])
    return enlarged(np.concatenate(list(pixels), axis=1), factor)
