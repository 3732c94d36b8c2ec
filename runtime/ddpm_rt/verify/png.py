"""The report of `verify` as one PNG: the verdict, the error curve, the final images and their difference.

Pillow is the only dependency.
"""

from pathlib import Path
from typing import Any

import numpy as np

from ..denoiser import Batch
from ..images.canvas import grid
from ..images.font import font
from ..images.write import Pixels, enlarged, pillow_image, save_png, to_pixels
from .comparison import Comparison
from .curve import Curve
from .report import Report

SHOWN = 16  # most images in a grid
GAIN = 10  # the shown difference is multiplied by this
SIDE = 300  # target side of a grid, in pixels
MARGIN, TOP, CHART = 24, 96, 280  # pixels
AXIS = 64  # left of the chart

INK, FAINT, PAPER = "#1a1a1a", "#d9d9d9", "#ffffff"
COLOURS = ("#0072b2", "#d55e00")  # distinguishable by colour-blind readers
TOLERANCE, BROKEN = "#7a7a7a", "#b3005e"


def grids(comparison: Comparison) -> dict[str, Pixels]:
    """Grids of the engine's final images, the reference's, and ten times their difference around grey."""
    ours, theirs = comparison.images[:SHOWN], comparison.reference[:SHOWN]
    views = {"engine": ours, "reference": theirs, f"difference x{GAIN}": GAIN * (ours.astype(np.float32) - theirs)}
    return {name: _enlarged(grid(to_pixels(_visible(images)))) for name, images in views.items()}


def _visible(images: Batch) -> Batch:
    """The channels that a picture can show, of a volume the middle slice. Values that are not finite become black."""
    if images.ndim == 5:
        images = images[:, :, images.shape[2] // 2]
    if images.ndim < 4:  # a sequence is a row a channel
        images = images.reshape(len(images), 1, -1, images.shape[-1])
    shown = images if images.shape[1] in (1, 3) else images[:, :1]
    return np.nan_to_num(shown, nan=-1.0)


def _enlarged(pixels: Pixels) -> Pixels:
    return enlarged(pixels, max(1, SIDE // max(pixels.shape[:2])))


def draw(report: Report) -> Pixels:
    """The picture, uint8 [H, W, 3]."""
    from PIL import Image, ImageDraw

    pictures = grids(report.comparison)
    height, width = next(iter(pictures.values())).shape[:2]
    whole = (max(3 * width + 4 * MARGIN, 960), TOP + CHART + height + 5 * MARGIN)
    canvas = Image.new("RGB", whole, PAPER)
    pen = ImageDraw.Draw(canvas)
    pen.text((MARGIN, MARGIN), report.line, INK, font(15))
    for number, (name, value) in enumerate(list(report.lines.items())[:2]):
        pen.text((MARGIN, MARGIN + 26 + 18 * number), f"{name}: {value}", INK, font(12))
    _draw_curve(pen, Curve.of(report), (MARGIN + AXIS, TOP + MARGIN, whole[0] - MARGIN, TOP + CHART))
    for number, (name, pixels) in enumerate(pictures.items()):
        left, top = MARGIN + number * (width + MARGIN), TOP + CHART + 3 * MARGIN
        pen.text((left, top), name, INK, font(12))
        canvas.paste(pillow_image(pixels), (left, top + MARGIN))
    return np.asarray(canvas)


def _draw_curve(pen: Any, curve: Curve, box: tuple[int, int, int, int]) -> None:
    left, top, right, bottom = box

    def place(point: tuple[float, float]) -> tuple[float, float]:
        return left + point[0] * (right - left), top + point[1] * (bottom - top)

    for down, label in curve.decades():
        pen.line([place((0, down)), place((1, down))], FAINT)
        pen.text((left - 8, place((0, down))[1]), label, INK, font(11), anchor="rm")
    for across, label in curve.times():
        pen.text((place((across, 1))[0], bottom + 6), label, INK, font(11), anchor="ma")
    pen.text((left - 40, bottom + 6), "t", INK, font(11))
    if curve.limit is not None:
        height = place((0, curve.down(curve.limit)))[1]
        for dash in range(left, right, 10):
            pen.line([dash, height, min(dash + 5, right), height], TOLERANCE)
        pen.text((right, height - 4), "tolerance", INK, font(11), anchor="rs")
    for row in curve.broken:
        pen.line([place((curve.across(row), 0)), place((curve.across(row), 1))], BROKEN, 2)
    for number, (line, colour) in enumerate(zip(curve.lines(), COLOURS, strict=True)):
        for piece in line.pieces:
            pen.line([place(point) for point in piece], colour, 2)
            for x, y in map(place, piece if len(piece) < 3 else []):
                pen.ellipse([x - 2, y - 2, x + 2, y + 2], colour)
        pen.line([left + 380 * number, top - 14, left + 380 * number + 18, top - 14], colour, 2)
        pen.text((left + 380 * number + 24, top - 14), line.label, INK, font(11), anchor="lm")


def save_picture(path: Path, report: Report) -> None:
    """Write `draw(report)` as PNG, with the verdict in a text chunk."""
    save_png(path, draw(report), {"ddpm-rt.verdict": report.line})
