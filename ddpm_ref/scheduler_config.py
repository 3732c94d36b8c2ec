"""The scheduler of a checkpoint, read from and written to diffusers' `scheduler_config.json`."""

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

# The meaning of an absent `clip_sample` and an absent `timestep_spacing`, for each scheduler that can be saved.
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
    """Everything besides the weights that decides how a model is sampled."""

    betas: NDArray[np.float64]  # [T]
    prediction: Prediction
    variance: AnyVariance
    clip: tuple[float, float] | None  # symmetric about 0
    spacing: Spacing  # how a subset of the timesteps is chosen


def read_scheduler(raw: Mapping[str, Any], source: Path | str, given: Mapping[str, Any] | None = None) -> Scheduler:
    """Read diffusers' keys. Raises CheckpointError for unsupported values, which would change the pictures.

    `given` are fields of `Scheduler` that the user wrote down. The keys of the file for these fields are not read, so
    they may have any value. Older files lack some keys, which have the behaviour of their time: `prediction_type`
    epsilon, `variance_type` fixed_small, `clip_sample` and `timestep_spacing` those of the scheduler in `_class_name`
    (`ABSENT`).
    """
    known = dict(given or {})
    if READERS.keys() - known.keys():
        _lookup(ABSENT, raw.get("_class_name", "DDPMScheduler"), "_class_name", source)
    read = {field: reader(raw, source) for field, reader in READERS.items() if field not in known}
    return Scheduler(**known, **read)


def _prediction(raw: Mapping[str, Any], source: Path | str) -> Any:
    return _lookup(PREDICTIONS, raw.get("prediction_type", "epsilon"), "prediction_type", source)


def _variance(raw: Mapping[str, Any], source: Path | str) -> Any:
    return _lookup(VARIANCES, raw.get("variance_type") or "fixed_small", "variance_type", source)


def _clip(raw: Mapping[str, Any], source: Path | str) -> tuple[float, float] | None:
    clips, _ = ABSENT[raw.get("_class_name", "DDPMScheduler")]
    if raw.get("thresholding"):
        raise CheckpointError(f"{source}: thresholding=true is not supported; 'clip' in the TOML file replaces it")
    if not raw.get("clip_sample", clips):
        return None
    reach = raw.get("clip_sample_range", 1.0)
    if type(reach) not in (int, float) or not 0 < reach <= FLOAT32_MAX:
        raise CheckpointError(f"{source}: clip_sample_range={quoted(reach)} is not a number above 0")
    return -float(reach), float(reach)


def _spacing(raw: Mapping[str, Any], source: Path | str) -> Any:
    _, spaced = ABSENT[name := raw.get("_class_name", "DDPMScheduler")]
    for key in OTHER_SPACINGS:
        if raw.get(key):
            raise CheckpointError(f"{source}: {key}=true is not supported; 'spacing' in the TOML file replaces it")
    spacing = _lookup(SPACINGS, raw.get("timestep_spacing", spaced), "timestep_spacing", source)
    if raw.get("steps_offset", 0) and spacing == "leading":
        raise CheckpointError(
            f"{source}: steps_offset={quoted(raw['steps_offset'])} shifts every timestep; only 0 is supported; "
            "'spacing' in the TOML file replaces it"
        )
    if name.startswith("DDIM") and not raw.get("set_alpha_to_one", True):
        raise CheckpointError(
            f"{source}: set_alpha_to_one=false leaves noise in the image; only true is supported; "
            "'spacing' in the TOML file replaces it"
        )
    return spacing


def _betas(raw: Mapping[str, Any], source: Path | str) -> schedules.Betas:
    try:
        betas = _scheduled(raw, source)
        return schedules.zero_terminal_snr(betas) if raw.get("rescale_betas_zero_snr") else betas
    except (TypeError, ValueError, OverflowError) as error:
        raise CheckpointError(str(error) if isinstance(error, CheckpointError) else f"{source}: {error}") from error


def _scheduled(raw: Mapping[str, Any], source: Path | str) -> schedules.Betas:
    if raw.get("trained_betas") is not None:
        return schedules.custom(raw["trained_betas"])
    needed = ("num_train_timesteps", "beta_schedule", "beta_start", "beta_end")
    if missing := [key for key in needed if key not in raw]:
        raise CheckpointError(f"{source}: missing key {missing[0]!r}, which the betas depend on")
    steps, name = raw["num_train_timesteps"], raw["beta_schedule"]
    if type(steps) is not int or not 1 <= steps <= schedules.MAX_TIMESTEPS:
        most = schedules.MAX_TIMESTEPS
        raise CheckpointError(f"{source}: num_train_timesteps={quoted(steps)} is not a whole number from 1 to {most}")
    if name == "squaredcos_cap_v2":
        return schedules.cosine(steps)
    schedule: Callable[..., schedules.Betas] = _lookup(BETA_SCHEDULES, name, "beta_schedule", source)
    return schedule(steps, float(raw["beta_start"]), float(raw["beta_end"]))


# The reader of each field of a `Scheduler`, in the order of the fields.
READERS: dict[str, Callable[[Mapping[str, Any], Path | str], Any]] = {
    "betas": _betas,
    "prediction": _prediction,
    "variance": _variance,
    "clip": _clip,
    "spacing": _spacing,
}


def _lookup(table: Mapping[str, Any], value: object, key: str, source: Path | str) -> Any:
    if not isinstance(value, str) or value not in table:
        raise CheckpointError(f"{source}: {key}={quoted(value)} is not supported; known: {', '.join(table)}")
    return table[value]


def write_scheduler(scheduler: Scheduler) -> dict[str, Any]:
    """The config of diffusers' DDPMScheduler, with all betas instead of a schedule's name.

    Raises CheckpointError for a clip range that is not symmetric about 0, which the format cannot express.
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
