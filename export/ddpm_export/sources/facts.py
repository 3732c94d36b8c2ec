"""The user's TOML file with facts that weights do not contain. Every key is optional, and none has a default."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

import numpy as np
from numpy.typing import NDArray

from ddpm_ref.betas import custom
from ddpm_ref.diffusion import AnyVariance, Prediction, Spacing
from ddpm_ref.errors import CheckpointError, RecipeError
from ddpm_ref.recipe import read_toml
from ddpm_ref.text import quoted

from ..betas_argument import parse_betas

AttentionOrder = Literal["legacy", "new"]
CHOICES: dict[str, tuple[str, ...]] = {
    "prediction": get_args(Prediction),
    "variance": get_args(AnyVariance),
    "spacing": get_args(Spacing),
    "attention_order": get_args(AttentionOrder),
}
COUNTS = ("classes", "heads", "head_channels", "length")
FOR_ALL = ("image_size", "betas", "prediction", "variance", "clip", "spacing", "weights", "path")
NO_CLIP = "none"  # TOML has no null

Value = TypeVar("Value")


@dataclass(frozen=True, kw_only=True, eq=False)
class Facts:
    """The keys of the file. None means that the key is absent."""

    image_size: tuple[int, int] | None = None  # height, width; the file may give one number for a square
    length: int | None = None  # of sequences
    betas: NDArray[np.float64] | None = None  # "linear:1000:1e-4:0.02", a list, or the name of a .json or .npy file
    prediction: Prediction | None = None
    variance: AnyVariance | None = None
    clip: tuple[float, float] | Literal["none"] | None = None
    spacing: Spacing | None = None
    classes: int | None = None
    null_class: int | None = None
    heads: int | None = None  # guided-diffusion's num_heads
    head_channels: int | None = None  # guided-diffusion's num_head_channels
    attention_order: AttentionOrder | None = None  # guided-diffusion's use_new_attention_order: "new" if true
    rescale_timesteps: bool | None = None  # guided-diffusion's rescale_timesteps
    weights: str | None = None  # one of several networks, by its name in the error message
    path: Path | None = None  # the file itself

    def need(self, key: str, why: str) -> Any:
        """The value of `key`. Raises CheckpointError, which says where to add the key, if it is absent."""
        if (value := getattr(self, key)) is None:
            place = f"add it to {self.path}" if self.path else "put it into a TOML file: --config FILE.toml"
            raise CheckpointError(f"{why}; {key!r} is missing: {place}")
        return value

    def clip_or(self, default: tuple[float, float] | None) -> tuple[float, float] | None:
        """The clip range in the file, else `default`."""
        if isinstance(self.clip, str):
            return None
        return default if self.clip is None else self.clip

    def check_keys(self, own: tuple[str, ...], layout: str) -> None:
        """Raises CheckpointError for a key that is neither for all layouts nor one of `own`, those of `layout`."""
        known = {*FOR_ALL, *own}
        self.refuse(tuple(field.name for field in fields(self) if field.name not in known), layout)

    def refuse(self, keys: tuple[str, ...], layout: str) -> None:
        """Raises CheckpointError if the file contains one of `keys`, which do not apply to `layout`."""
        if given := [key for key in keys if getattr(self, key) is not None]:
            raise CheckpointError(f"{self.path}: {given[0]!r} does not apply to {layout}")


def first(given: Value | None, other: Value) -> Value:
    """`given`, or `other` if `given` is None; 0 and False are kept."""
    return other if given is None else given


def read_facts(path: Path | None) -> Facts:
    """Read the TOML file, if `path` is given. Raises CheckpointError for an unknown key or an invalid value."""
    if path is None:
        return Facts()
    try:
        raw = read_toml(path)
        known = [field.name for field in fields(Facts) if field.name != "path"]
        if unknown := sorted(raw.keys() - set(known)):
            raise ValueError(f"unknown key {quoted(unknown[0])}; known: {', '.join(known)}")
        return Facts(**{key: _value(key, value, path.parent) for key, value in raw.items()}, path=path)
    except RecipeError as error:
        raise CheckpointError(str(error)) from error
    except ValueError as error:
        raise CheckpointError(f"{path}: {error}") from error


def _value(key: str, value: Any, folder: Path) -> Any:
    if key == "betas":
        return parse_betas(value, folder) if isinstance(value, str) else custom(value)
    if key == "clip":
        return value if value == NO_CLIP else _range(value)
    if key == "image_size":
        return _size(value)
    if key in CHOICES:
        _require(isinstance(value, str) and value in CHOICES[key], key, f"one of {', '.join(CHOICES[key])}", value)
    elif key == "weights":
        _require(isinstance(value, str) and value != "", key, "the name of a network", value)
    elif key == "rescale_timesteps":
        _require(type(value) is bool, key, "true or false", value)
    else:
        least = 1 if key in COUNTS else 0
        _require(type(value) is int and value >= least, key, f"an integer of at least {least}", value)
    return value


def _range(value: Any) -> tuple[float, float]:
    pair = isinstance(value, list) and len(value) == 2 and all(type(end) in (int, float) for end in value)
    _require(pair and value[0] < value[1], "clip", f'[LOW, HIGH] or "{NO_CLIP}"', value)
    return float(value[0]), float(value[1])


def _size(value: Any) -> tuple[int, int]:
    sides = value if isinstance(value, list) else [value, value]
    _require(len(sides) == 2 and all(type(side) is int and side > 0 for side in sides), "image_size", "pixels", value)
    return sides[0], sides[1]


def _require(holds: bool, key: str, wanted: str, found: object) -> None:
    if not holds:
        raise ValueError(f"{key} must be {wanted}, not {quoted(found)}")
