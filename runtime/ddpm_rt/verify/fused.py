"""Compares a fused chain with the network that it was made from: the images, because the chain shows no step."""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.digest import array_sha256, file_sha256
from ..artifacts.plan_record import is_plan
from ..engine import Engine
from ..engines.engine_options import EngineOptions
from ..engines.fused import FusedRunner
from ..engines.opening import open_engine
from ..images.write import to_pixels
from ..requests.inputs import as_inputs
from ..requests.request import Request
from .comparison import MAX_NUMBERS, PEAK
from .verdict import Tolerance, check_comparable, default_tolerance

FORMAT = 1

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FusedReport:
    """The images of both sides in one range: float32 `[N, C, H, W]`, or those of bytes over 127.5."""

    name: str
    reference: str
    request: Request
    images: Floats
    expected: Floats
    tolerance: Tolerance
    unit: float  # the step between two values of an image of bytes, which rounding may move by one; else 0
    same_file: bool  # whether the reference is the very file that was fused

    @property
    def largest(self) -> float:
        """The largest difference of two values; NaN where an image is not finite."""
        return float(np.abs(self.images - self.expected).max())

    @property
    def psnr(self) -> float:
        """Of the worst image, in dB."""
        worst = float(((self.images - self.expected) ** 2).mean(axis=tuple(range(1, self.images.ndim))).max())
        return math.inf if worst == 0 else 10 * math.log10(PEAK**2 / worst) if worst > 0 else math.nan

    @property
    def ok(self) -> bool:
        limit, least = self.tolerance.max_x, self.tolerance.min_psnr
        close = limit is None or self.largest <= limit + self.unit
        return bool(np.isfinite(self.images).all()) and close and (least is None or self.psnr >= least)

    @property
    def line(self) -> str:
        """The verdict in one line."""
        if not np.isfinite(self.images).all():
            return "different: an image of the fused chain is not finite"
        if self.largest == 0:
            return "equal to the bit"
        verdict, psnr = "equal" if self.ok else "different", f"{self.psnr:.1f} dB"
        return f"{verdict}: images within {self.largest:.1e}, {psnr}"

    def to_json(self) -> str:
        """For machines; null stands for a number that is not finite."""
        numbers = {"largest": self.largest, "psnr": self.psnr}
        known = {key: value if math.isfinite(value) else None for key, value in numbers.items()}
        asked = {"seed": self.request.seed, "first": self.request.first, "count": self.request.count}
        whole: dict[str, Any] = {"format": FORMAT, "ok": self.ok, "verdict": self.line, "engine": self.name}
        whole |= {"reference": self.reference, "reference_is_source": self.same_file, **asked, **known}
        return json.dumps(whole, indent=2, allow_nan=False)


def compare_fused(
    path: Path, other: Path, options: EngineOptions, asked: dict[str, Any], limits: Tolerance | None,
    *, other_weights: bool = False,
) -> FusedReport:  # fmt: skip
    """Draw the request `asked` by the fused chain at `path` and by the engine `other`, with the chain's table.

    Raises ValueError for what the model does not allow, DdpmRtError for another model.
    """
    runner = FusedRunner(path, threads=options.threads)
    fitting = replace(options, provider="auto") if is_plan(other) else options
    with open_engine(other, fitting) as engine:
        check_comparable(runner.chain.card, engine.card, other_weights=other_weights)
        tolerance = limits or default_tolerance(runner.chain.card.precision, engine.card.precision)
        request = Request(**asked, compiled=runner.chain.sampler, guidance=runner.chain.facts.guidance)
        _check_null_inputs(runner, request)
        images, expected, unit = _drawn(runner, engine, request)
    source = file_sha256(other) == runner.chain.facts.model_sha256
    return FusedReport(path.name, other.name, request, images, expected, tolerance, unit, source)


def _drawn(runner: FusedRunner, engine: Engine, request: Request) -> tuple[Floats, Floats, float]:
    """The images of both sides, and the step between two of their values if they are bytes."""
    if (size := request.count * math.prod(engine.card.image_shape)) > MAX_NUMBERS:
        raise ValueError(f"count {request.count} means {size} numbers, more than {MAX_NUMBERS}; compare fewer")
    bound = request.bind(engine.card)
    parts = [
        runner(request.seed, samples, bound.labels(samples), bound.inputs(samples))
        for samples in bound.batches(request.samples)
    ]
    images, expected = np.concatenate(parts).astype(np.float64), bound.drawn(engine)
    if runner.chain.facts.image == "uint8":
        unit = 1 / 127.5
        return images * unit, to_pixels(expected).astype(np.float64) * unit, unit
    return images, expected.astype(np.float64), 0.0


def _check_null_inputs(runner: FusedRunner, request: Request) -> None:
    """Raises ValueError unless the request has the null inputs that are fixed in the chain."""
    given, conditions = as_inputs(request.null_inputs), runner.chain.card.conditions
    found = {name: array_sha256(given.entries(name, conditions[name])) for name in given if name in conditions}
    if found != runner.chain.facts.null_inputs:
        wanted = ", ".join(runner.chain.facts.null_inputs) or "none"
        raise ValueError(f"the chain was fused with other null inputs ({wanted}); give those with --null-input")
