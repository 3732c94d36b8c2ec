"""The figures of an evaluation as JSON and as text."""

import json
from typing import Any

from .evaluate import Evaluation, Figure, Figures

TITLES = {"frechet": "Frechet distance", "kernel": "kernel distance", "precision": "precision", "recall": "recall"}
DIGITS = {"frechet": 2, "kernel": 5, "precision": 3, "recall": 3}


def to_json(found: Evaluation, facts: dict[str, Any]) -> str:
    """Every figure with its margin, and `facts` about the run."""
    sets = {"generated": _plain(found.generated), "floor": _plain(found.floor)}
    counts = {name: getattr(found, name) for name in ("count", "floor_count", "reference_count", "features")}
    return json.dumps({**facts, **counts, **sets}, indent=2, allow_nan=False)


def _plain(figures: Figures) -> dict[str, dict[str, float]]:
    return {name: figure._asdict() for name, figure in figures._asdict().items()}


def describe(found: Evaluation, facts: dict[str, Any]) -> str:
    """The same for a person."""
    rows: list[tuple[str, ...]] = [("", f"{found.count} samples", f"{found.floor_count} real images")]
    for name, title in TITLES.items():
        rows.append((title, *(_text(getattr(one, name), DIGITS[name]) for one in (found.generated, found.floor))))
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return "\n".join([
        f"{facts['model']}, {facts['precision']}; {facts['sampler']}",
        f"against {found.reference_count} images of {facts['data']}; {found.features} features: {facts['features']}",
        *(f"{name:<{widths[0]}}  {ours:>{widths[1]}}  {real:>{widths[2]}}" for name, ours, real in rows),
        "margins are half of an interval of 95 %; compare only figures of as many samples and the same features",
    ])  # fmt: skip


def _text(figure: Figure, digits: int) -> str:
    return f"{figure.value:.{digits}f} +- {figure.margin:.{digits}f}"
