"""The schedule of a checkpoint as diffusers' `scheduler_config.json` says it."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from . import betas as schedules
from .diffusion import AnyVariance, Prediction, Spacing
from .errors import CheckpointError
from .text import quoted

FLOAT32_MAX = 3.4028234663852886e38
PREDICTIONS: dict[str, Prediction] = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}
# The `_log` form of fixed_small differs only in its floor at t = 0, where no noise is added.
VARIANCES: dict[str, AnyVariance] = {
    "fixed_small": "fixed_small",
    "fixed_small_log": "fixed_small",
    "fixed_large": "fixed_large",
    "learned": "learned",
    "learned_range": "learned_range",
}
SPACINGS: dict[str, Spacing] = {name: name for name in get_args(Spacing)}
BETA_SCHEDULES = {
    "linear": schedules.linear,
    "scaled_linear": schedules.quadratic,
    "sigmoid": schedules.sigmoid,
}

# What an absent `clip_sample` (does it clip?) and an absent `timestep_spacing` mean, by the scheduler that was saved.
CLIPS_LEADING = (True, "leading")
PLAIN_LEADING = (False, "leading")
PLAIN_LINSPACE = (False, "linspace")
ABSENT: dict[str, tuple[bool, str]] = {
    "DDPMScheduler": CLIPS_LEADING,
    "DDPMParallelScheduler": CLIPS_LEADING,
    "DDIMScheduler": CLIPS_LEADING,
    "DDIMParallelScheduler": CLIPS_LEADING,
    "PNDMScheduler": PLAIN_LEADING,
    "DPMSolverMultistepScheduler": PLAIN_LINSPACE,
    "DEISMultistepScheduler": PLAIN_LINSPACE,
    "UniPCMultistepScheduler": PLAIN_LINSPACE,
    "EulerDiscreteScheduler": PLAIN_LINSPACE,
    "EulerAncestralDiscreteScheduler": PLAIN_LINSPACE,
}
OTHER_SPACINGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas")


class Scheduler(NamedTuple):
    """What decides how a model is sampled, besides its weights."""

    betas: NDArray[np.float64]  # [T]
    prediction: Prediction
    variance: AnyVariance
    clip: tuple[float, float] | None  # symmetric about 0
    spacing: Spacing  # how a subset of the timesteps is chosen


def read_scheduler(raw: Mapping[str, Any], source: Path | str) -> Scheduler:
    """Read diffusers' keys. Raises CheckpointError on what is not supported and would give other pictures.

    Keys that older files do not have yet mean what they were then: `prediction_type` epsilon, `variance_type`
    fixed_small, `clip_sample` and `timestep_spacing` what the scheduler in `_class_name` did (`ABSENT`).
    """
    name = raw.get("_class_name", "DDPMScheduler")
    clips, spaced = _lookup(ABSENT, name, "_class_name", source)
    for key in ("thresholding", "rescale_betas_zero_snr", *OTHER_SPACINGS):
        if raw.get(key):
            raise CheckpointError(f"{source}: {key}=true is not supported")
    prediction = _lookup(PREDICTIONS, raw.get("prediction_type", "epsilon"), "prediction_type", source)
    variance = _lookup(VARIANCES, raw.get("variance_type") or "fixed_small", "variance_type", source)
    spacing = _lookup(SPACINGS, raw.get("timestep_spacing", spaced), "timestep_spacing", source)
    if raw.get("steps_offset", 0) and spacing == "leading":
        raise CheckpointError(
            f"{source}: steps_offset={quoted(raw['steps_offset'])} shifts every timestep; only 0 is supported"
        )
    if name.startswith("DDIM") and not raw.get("set_alpha_to_one", True):
        raise CheckpointError(f"{source}: set_alpha_to_one=false stops short of the image; only true is supported")
    reach = raw.get("clip_sample_range", 1.0)
    if type(reach) not in (int, float) or not 0 < reach <= FLOAT32_MAX:
        raise CheckpointError(f"{source}: clip_sample_range={quoted(reach)} is not a number above 0")
    clip = (-float(reach), float(reach)) if raw.get("clip_sample", clips) else None
    return Scheduler(_betas(raw, source), prediction, variance, clip, spacing)


def _betas(raw: Mapping[str, Any], source: Path | str) -> NDArray[np.float64]:
    needed = ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end")
    try:
        if raw.get("trained_betas") is not None:
            return schedules.custom(raw["trained_betas"])
        if missing := [key for key in needed if key not in raw]:
            raise CheckpointError(f"{source}: missing key {missing[0]!r}: the betas cannot be known without it")
        steps, name = int(raw["num_train_timesteps"]), raw["beta_schedule"]
        schedules.check_steps(steps)
        if name == "squaredcos_cap_v2":
            return schedules.cosine(steps)
        schedule: Callable[..., schedules.Betas] = _lookup(BETA_SCHEDULES, name, "beta_schedule", source)
        return schedule(steps, float(raw["beta_start"]), float(raw["beta_end"]))
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(str(error) if isinstance(error, CheckpointError) else f"{source}: {error}") from error


def _lookup(table: Mapping[str, Any], value: object, key: str, source: Path | str) -> Any:
    if not isinstance(value, str) or value not in table:
        raise CheckpointError(f"{source}: {key}={quoted(value)} is not supported; known: {', '.join(table)}")
    return table[value]


def write_scheduler(scheduler: Scheduler) -> dict[str, Any]:
    """The same as diffusers' DDPMScheduler reads it: the betas in full, never by name.

    Raises CheckpointError for a clip range that is not symmetric, which that format cannot say.
    """
    betas, prediction, variance, clip, spacing = scheduler
    if clip is not None and clip[0] != -clip[1]:
        raise CheckpointError(f"clip range {clip} is not symmetric about 0")
    named = {ours: theirs for theirs, ours in PREDICTIONS.items()}
    return {
        "_class_name": "DDPMScheduler",
        "num_train_timesteps": len(betas),
        "beta_schedule": "linear",  # ignored beside trained_betas
        "beta_start": float(betas[0]),
        "beta_end": float(betas[-1]),
        "trained_betas": betas.tolist(),
        "prediction_type": named[prediction],
        "variance_type": variance,
        "clip_sample": clip is not None,
        "clip_sample_range": 1.0 if clip is None else clip[1],
        "thresholding": False,
        "timestep_spacing": spacing,
        "steps_offset": 0,
        "rescale_betas_zero_snr": False,
    }
