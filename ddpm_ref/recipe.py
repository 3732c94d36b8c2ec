"""A training run as data: one TOML file, or a preset of the same form in `presets/`."""

import math
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from .betas import MAX_TIMESTEPS, SCHEDULES, Betas
from .bounded_read import parse_toml, read_bytes
from .config import UNetConfig
from .diffusion import AnyVariance, Prediction
from .errors import ConfigError, FileError, RecipeError
from .text import quoted

MAX_BATCH, MAX_SAMPLES = 65_535, 4_096
MAX_STEPS = 1_000_000_000  # most steps of a training run
PRESETS = Path(__file__).parent / "presets"
Precision = Literal["fp32", "bf16"]
Section = TypeVar("Section")


@dataclass(frozen=True, kw_only=True)
class Process:
    """The `[diffusion]` section."""

    schedule: str  # a name of betas.SCHEDULES; Ho: linear
    steps: int  # T; Ho: 1000
    prediction: Prediction  # Ho: eps
    # The variance for sampling; Ho: fixed_large for CIFAR-10. The hybrid loss trains learned_range (Nichol and
    # Dhariwal 2021, eq. 15) and learned (the output is the logarithm of the variance).
    variance: AnyVariance
    clip: bool = True  # clip a predicted x_0 to [-1, 1]

    def __post_init__(self) -> None:
        _choice("diffusion.schedule", self.schedule, tuple(SCHEDULES))
        _choice("diffusion.prediction", self.prediction, get_args(Prediction))
        _choice("diffusion.variance", self.variance, get_args(AnyVariance))
        _within("diffusion.steps", self.steps, 1, MAX_TIMESTEPS)

    @property
    def betas(self) -> Betas:
        return SCHEDULES[self.schedule](self.steps)


@dataclass(frozen=True, kw_only=True)
class Training:
    """The `[training]` section. Comments give what Ho et al. used for CIFAR-10."""

    batch_size: int  # 128, over all processes
    steps: int  # 800_000
    learning_rate: float  # 2e-4
    warmup_steps: int  # 5000, linear from 0
    cooldown_steps: int = 0  # the learning rate falls linearly to 0 over the last steps; Ho has no cool-down
    grad_clip: float = 1.0  # global norm
    ema_decay: float = 0.9999
    ema_warmup: bool = False  # min(decay, (1 + step) / (10 + step)), for short runs
    min_snr_gamma: float = 0.0  # Hang et al. 2023 use 5: weight L_simple by min(SNR, gamma); 0: all timesteps alike
    label_dropout: float = 0.0  # share of the labels replaced by the null class, the model's last; 0: no null class
    flip: bool = False  # mirror half of the images horizontally; true for CIFAR-10
    precision: Precision = "fp32"  # bf16: matrix products in bfloat16, weights and loss in float32
    seed: int = 0
    checkpoint_every: int = 1000  # steps
    keep_every: int = 0  # steps; a copy of the checkpoint as checkpoints/STEP, for curves over training; 0: none
    sample_every: int = 5000  # steps; a grid of `sample_count` images by 50 steps of DDIM
    sample_count: int = 64

    def __post_init__(self) -> None:
        _choice("training.precision", self.precision, get_args(Precision))
        most = {"batch_size": MAX_BATCH, "sample_count": MAX_SAMPLES, "seed": 2**31 - 1}
        for key in ("batch_size", "steps", "checkpoint_every", "sample_every", "sample_count"):
            _within(f"training.{key}", getattr(self, key), 1, most.get(key, MAX_STEPS))
        for key in ("warmup_steps", "cooldown_steps", "keep_every", "seed"):
            _within(f"training.{key}", getattr(self, key), 0, most.get(key, MAX_STEPS))
        if not 0 <= self.ema_decay < 1:
            raise RecipeError(f"training.ema_decay must lie in [0, 1), not {quoted(self.ema_decay)}")
        if not (0 < self.learning_rate < math.inf and 0 < self.grad_clip < math.inf):
            raise RecipeError("training.learning_rate and training.grad_clip must be finite and above 0")
        if not 0 <= self.label_dropout < 1:
            raise RecipeError(f"training.label_dropout must lie in [0, 1), not {quoted(self.label_dropout)}")
        if not 0 <= self.min_snr_gamma < math.inf:
            raise RecipeError(f"training.min_snr_gamma must be finite and at least 0, not {quoted(self.min_snr_gamma)}")

    def rate_at(self, step: int) -> float:
        """The learning rate of step `step`, counted from 0: linear warm-up, constant, linear cool-down."""
        rising = (step + 1) / self.warmup_steps if self.warmup_steps else 1.0
        falling = (self.steps - step) / self.cooldown_steps if self.cooldown_steps else 1.0
        return self.learning_rate * min(1.0, rising, falling)

    def ema_at(self, step: int) -> float:
        """The share of the old average that step `step` keeps."""
        return min(self.ema_decay, (1 + step) / (10 + step)) if self.ema_warmup else self.ema_decay


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything except the data that determines what a training run computes."""

    model: UNetConfig
    diffusion: Process
    training: Training

    def __post_init__(self) -> None:
        model, learned = self.model, self.diffusion.variance.startswith("learned")
        if model.out_channels != model.in_channels * (2 if learned else 1):
            raise RecipeError(
                f"diffusion.variance {self.diffusion.variance} needs {'twice as many' if learned else 'as many'} "
                f"model.out_channels as in_channels, not {model.out_channels} for {model.in_channels}"
            )
        if model.class_embed_type is not None:
            raise RecipeError("the trainer does not support model.class_embed_type; use num_class_embeds instead")
        dropout = self.training.label_dropout
        if dropout and (model.num_class_embeds or 0) < 2:
            raise RecipeError(f"training.label_dropout {dropout} needs num_class_embeds: all classes plus one")

    @property
    def null_class(self) -> int | None:
        """The label that means no class: the last one if labels are dropped, else None."""
        classes = self.model.num_class_embeds
        return classes - 1 if classes is not None and self.training.label_dropout else None

    @property
    def classes(self) -> int | None:
        """The number of classes without the null class; None for a model without classes."""
        total = self.model.num_class_embeds
        return None if total is None else total - (self.null_class is not None)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, raw: Mapping[str, Any]) -> "Recipe":
        """Read the result of `to_dict`. Keys that an older version did not write have their defaults.

        Raises TypeError, ValueError or KeyError for anything else.
        """
        return cls(
            model=UNetConfig(**raw["model"]),
            diffusion=Process(**raw["diffusion"]),
            training=Training(**raw["training"]),
        )

    def with_training(self, **changes: Any) -> "Recipe":
        """The recipe with some keys of `[training]` replaced. A change of None keeps the key."""
        given = {key: value for key, value in changes.items() if value is not None}
        return replace(self, training=replace(self.training, **given))


# A resumed run may change these, because they do not affect steps that are already done.
FREE_ON_RESUME = ("steps", "cooldown_steps", "checkpoint_every", "keep_every", "sample_every", "sample_count")


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file. Raises RecipeError if it cannot be read."""
    try:
        return parse_toml(read_bytes(path))
    except FileError as error:
        raise RecipeError(str(error)) from error
    except ValueError as error:
        raise RecipeError(f"{path} cannot be read: {error}") from error


def load_recipe(path: Path) -> Recipe:
    """Read a TOML recipe. Raises RecipeError for a missing or unknown key, or an invalid value."""
    raw = read_toml(path)
    try:
        if set(raw) != {"model", "diffusion", "training"}:
            raise RecipeError(f"sections must be [model], [diffusion] and [training], not {quoted(sorted(raw))}")
        if wrong := [name for name, section in raw.items() if not isinstance(section, dict)]:
            raise RecipeError(f"{wrong[0]} must be a section, [{wrong[0]}]")
        model = dict(raw["model"])
        model["attention_head_dim"] = model.get("attention_head_dim") or None  # TOML has no null: 0 is one head
        return Recipe(
            model=UNetConfig.from_dict(model),
            diffusion=_section(Process, raw["diffusion"]),
            training=_section(Training, raw["training"]),
        )
    except (ConfigError, RecipeError) as error:
        raise RecipeError(f"{path}: {error}") from error


def load_preset(name: str) -> Recipe:
    """One of the recipes that come with the package; see `preset_names`."""
    if name not in preset_names():
        raise RecipeError(f"no preset {name!r}; known: {', '.join(preset_names())}")
    return load_recipe(PRESETS / f"{name}.toml")


def preset_names() -> list[str]:
    return sorted(file.stem for file in PRESETS.glob("*.toml"))


def _section(kind: type[Section], raw: Mapping[str, Any]) -> Section:
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    if unknown := sorted(raw.keys() - known.keys()):
        raise RecipeError(f"unknown key {quoted(unknown[0])}; known: {', '.join(known)}")
    if missing := [name for name, field in known.items() if field.default is MISSING and name not in raw]:
        raise RecipeError(f"missing key {missing[0]!r}")
    for name, value in raw.items():
        wanted = known[name].type
        numeric = wanted is float and type(value) is int
        if wanted in (int, float, bool) and type(value) is not wanted and not numeric:
            raise RecipeError(f"{name} must be {getattr(wanted, '__name__', wanted)}, not {quoted(value)}")
    return kind(**raw)


def _choice(key: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise RecipeError(f"{key}: unknown value {quoted(value)}; known: {', '.join(allowed)}")


def _within(key: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise RecipeError(f"{key} must lie in [{least}, {most}], not {quoted(value)}")
