"""The verdict of `verify`: checks that two models are comparable, default tolerances, and the decision."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..artifacts.card import ModelCard
from ..artifacts.card_facts import Latents
from ..errors import DdpmRtError
from ..text import quoted
from .comparison import Comparison, StepError

SAME_BETAS = 1e-6  # relative tolerance; a smaller difference does not change float32 coefficients


@dataclass(frozen=True)
class Tolerance:
    """The limits of a comparison. None means no limit."""

    max_x: float | None  # for the largest difference of x, at every step
    min_psnr: float | None  # for the PSNR of every final image, in dB

    def __post_init__(self) -> None:
        for name, limit in (("max_x", self.max_x), ("min_psnr", self.min_psnr)):
            if limit is not None and not 0 <= limit < math.inf:
                raise ValueError(f"{name} must be a finite number of at least 0, not {limit}")


# From exact to coarse; docs/verify.md gives the reason for each value.
TOLERANCES = {
    "fp32": Tolerance(2e-4, None),
    "fp16": Tolerance(None, 40.0),
    "bf16": Tolerance(None, 30.0),
    "int8": Tolerance(None, 30.0),
}


def default_tolerance(*precisions: str) -> Tolerance:
    """The default tolerance of the coarsest part of `precisions`, such as fp32+int8.

    Raises ValueError for an unknown precision.
    """
    known = list(TOLERANCES)
    parts = [part for precision in precisions for part in precision.split("+")]
    for part in parts:
        if part not in known:
            raise ValueError(f"precision {quoted(part)} has no default tolerance; give --tolerance or --min-psnr")
    return TOLERANCES[max(parts, key=known.index)]


def check_comparable(card: ModelCard, other: ModelCard, *, other_weights: bool = False) -> None:
    """Raises DdpmRtError unless both cards describe the same model; `other_weights` allows different weights."""
    for name in ("image_shape", "process", "prediction", "variance", "clip", "classes", "inputs", "latents"):
        ours, theirs = _fact(card, name), _fact(other, name)
        if ours != theirs:
            raise DdpmRtError(f"not the same model: {name} is {_text(ours)} but the reference's is {_text(theirs)}")
    ours, theirs = np.array(card.betas), np.array(other.betas)
    if len(ours) != len(theirs):
        raise DdpmRtError(f"not the same model: {len(ours)} betas but the reference has {len(theirs)}")
    if (wrong := np.flatnonzero(~np.isclose(ours, theirs, rtol=SAME_BETAS, atol=0))).size:
        t = wrong[0]
        raise DdpmRtError(
            f"not the same schedule: beta at t = {t} is {ours[t]:.6g} but the reference's is {theirs[t]:.6g}"
            f" ({wrong.size} differ); export the model again"
        )
    mine, its = card.provenance.weights_sha256, other.provenance.weights_sha256
    if mine != its and not other_weights:
        raise DdpmRtError(
            f"mismatched reference: the engine has weights {mine[:12]}, the reference {its[:12]};"
            " export again, or allow different weights with --other-weights"
        )


def _fact(card: ModelCard, name: str) -> Any:
    """A fact of the card; latents without the name of the decoder's file, which a checkpoint does not have."""
    value = getattr(card, name)
    return dataclasses.replace(value, decoder=None) if isinstance(value, Latents) else value


def _text(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True)
class Verdict:
    """The decision. `first_over` is the first step over the tolerance, None if the sides are equal within it."""

    ok: bool
    first_over: StepError | None
    worst_psnr: float | None  # lowest PSNR of the final images, dB; infinite if they are equal, None if a chain broke
    worst_x: StepError | None  # the step with the largest difference of x

    def line(self, comparison: Comparison, tolerance: Tolerance) -> str:
        """The verdict in one line."""
        psnr = "" if self.worst_psnr is None else f"; final images {_decibel(self.worst_psnr)}"
        if comparison.non_finite:
            side, row, t = comparison.non_finite[0]
            more = len(comparison.non_finite) - 1
            others = f" and {more} more" if more else ""
            return f"different: the {side}'s output is not finite at step {row}, t = {t}{others}{psnr}"
        asked = _asked(tolerance)
        if self.ok:
            largest = self.worst_x.x_max if self.worst_x is not None else None
            return f"equal: x within {largest:.1e} at every step{psnr} ({asked})" if largest else "equal to the bit"
        over = self.first_over or self.worst_x
        assert over is not None
        return f"different: x is off by {over.x_max:.1e} at step {over.row}, t = {over.t}, the first over {asked}{psnr}"


def _decibel(psnr: float) -> str:
    return "equal to the bit" if math.isinf(psnr) else f"{psnr:.1f} dB"


def _asked(tolerance: Tolerance) -> str:
    x = [] if tolerance.max_x is None else [f"{tolerance.max_x:g}"]
    return "tolerance " + " and ".join(x + ([] if tolerance.min_psnr is None else [f"{tolerance.min_psnr:g} dB"]))


def judge(comparison: Comparison, tolerance: Tolerance) -> Verdict:
    """Decide whether the sides are finite everywhere and equal within `tolerance`."""
    known = [step for step in comparison.steps if step.x_max is not None]
    over = next((step for step in known if _is_over(step, tolerance)), None)
    psnr = comparison.psnr
    worst = None if np.isnan(psnr).any() else float(psnr.min())
    sharp = tolerance.min_psnr is None or (worst is not None and worst >= tolerance.min_psnr)
    close = tolerance.max_x is None or all(step.x_max <= tolerance.max_x for step in known if step.x_max is not None)
    ok = not comparison.non_finite and close and sharp
    largest = max(known, key=lambda step: step.x_max or 0.0, default=None)
    return Verdict(ok, None if ok else over, worst, largest)


def _is_over(step: StepError, tolerance: Tolerance) -> bool:
    """Whether a step is over the tolerance. `min_psnr` is converted to a limit of x_rms, to find the first bad step.

    The verdict itself depends on the PSNR of the final images only.
    """
    far = tolerance.max_x is not None and (step.x_max or 0.0) > tolerance.max_x
    return far or (tolerance.min_psnr is not None and (step.x_rms or 0.0) > 2.0 * 10 ** (-tolerance.min_psnr / 20))
