"""A plot of the race: milliseconds per step of each contestant, as a group of bars per model and batch size."""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from .check import Check

WIDTH, LINE, GAP, MARGIN, LEFT, RIGHT = 1100, 18, 16, 24, 300, 110  # pixels
INK, FAINT, PAPER = "#1a1a1a", "#d9d9d9", "#ffffff"
OURS, FLOOR, OTHERS = "#0072b2", "#7a7a7a", "#d55e00"  # colour-blind readers can distinguish these


class Bar(NamedTuple):
    who: str
    ms: float


Groups = dict[tuple[str, int], list[Bar]]


def groups_of(checks: Iterable[Check]) -> Groups:
    """The times among the checks, grouped by model and batch size."""
    groups: Groups = {}
    for check in checks:
        known = check.figures
        if {"model", "batch", "who", "ms_a_step"} <= known.keys():
            key = (str(known["model"]), int(known["batch"]))
            groups.setdefault(key, []).append(Bar(str(known["who"]), float(known["ms_a_step"])))
    return groups


def scale(groups: Groups) -> tuple[int, int]:
    """The exponents of the powers of ten that bound all times."""
    times = [bar.ms for bars in groups.values() for bar in bars]
    low = math.floor(math.log10(min(times)))
    return low, max(low + 1, math.ceil(math.log10(max(times))))


def draw(groups: Groups, title: str) -> Any:
    """The plot as a PIL image, with a logarithmic time axis."""
    from PIL import Image, ImageDraw

    lines = sum(len(bars) + 1 for bars in groups.values())
    height = 2 * MARGIN + 3 * LINE + lines * LINE + len(groups) * GAP
    canvas = Image.new("RGB", (WIDTH, height), PAPER)
    pen, (low, high) = ImageDraw.Draw(canvas), scale(groups)

    def across(ms: float) -> float:
        return LEFT + (math.log10(ms) - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    pen.text((MARGIN, MARGIN), f"milliseconds a step, {title}", INK)
    y = MARGIN + 2 * LINE
    for power in range(low, high + 1):
        pen.line([across(10.0**power), y, across(10.0**power), height - MARGIN], FAINT)
        pen.text((across(10.0**power), y - LINE), f"{10.0**power:g}", INK)
    for (model, batch), bars in groups.items():
        pen.text((MARGIN, y), f"{model}, batch {batch}", INK)
        y += LINE
        for bar in bars:
            colour = FLOOR if bar.who == "roofline" else OURS if bar.who.startswith("ddpm-rt") else OTHERS
            end = max(across(bar.ms), LEFT + 1)
            pen.text((2 * MARGIN, y), bar.who, INK)
            pen.rectangle([LEFT, y + 2, end, y + LINE - 4], colour)
            pen.text((end + 6, y), f"{bar.ms:.3g}", INK)
            y += LINE
        y += GAP
    return canvas


def save_plot(path: Path, checks: Iterable[Check], title: str) -> str:
    """Save the plot if there are times to plot. Returns a line for the user."""
    groups = groups_of(checks)
    if not groups:
        return "no plot: no times were measured"
    try:
        draw(groups, title).save(path)
    except ImportError:
        return "no plot: Pillow is not installed"
    return f"{path}: the times"
