"""The model card: all that a sampler must know about a denoiser, kept as JSON inside the ONNX file.

Strict: a missing or unknown key is an error, nothing has a default, the betas are there in full.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar, get_args

import numpy as np

from ..errors import DdpmRtError
from ..samplers.schedule import Prediction, Schedule, Spacing, Variance

FORMAT = 1
METADATA_KEY = "ddpm_rt.card"  # of ONNX's metadata_props

Record = TypeVar("Record")


@dataclass(frozen=True)
class Provenance:
    """Where a model comes from."""

    source: str  # the checkpoint's name
    weights_sha256: str  # of the names and float32 values, as `ddpm_ref.checkpoint.weights_sha256` takes it
    versions: Mapping[str, str]  # of what exported it
    parity: Mapping[str, float]  # how far the export was from PyTorch when it was made

    def __post_init__(self) -> None:
        for key, text in (("source", self.source), ("weights_sha256", self.weights_sha256), *self.versions.items()):
            _require(isinstance(text, str), key, "a string", text)
        for key, number in self.parity.items():
            _require(_is_number(number), f"parity.{key}", "a finite number", number)


@dataclass(frozen=True)
class ModelCard:
    """Facts about one exported model. Raises ValueError when they cannot be true."""

    image_shape: tuple[int, int, int]  # C, H, W
    betas: tuple[float, ...]  # of the process that the weights were trained with, float64
    prediction: Prediction
    variance: Variance  # the one it is sampled with; a learned one is in the second half of the output's channels
    clip: tuple[float, float] | None  # the range that a predicted x0 is clipped to
    spacing: Spacing  # how fewer steps than it was trained with are chosen by default
    classes: int | None  # None: not class-conditional
    null_class: int | None  # the label that stands for no class, if the model was trained with one
    names: Mapping[str, str]  # of the graph's tensors: x, t, out, and y if class-conditional
    precision: str  # of weights and arithmetic: fp32
    provenance: Provenance

    def __post_init__(self) -> None:
        shape, clip, classes = self.image_shape, self.clip, self.classes
        three = isinstance(shape, tuple) and len(shape) == 3
        _require(three and all(type(side) is int and side > 0 for side in shape), "image_shape", "[C, H, W]", shape)
        _require(self.prediction in get_args(Prediction), "prediction", "eps, x0 or v", self.prediction)
        _require(self.variance in get_args(Variance), "variance", ", ".join(get_args(Variance)), self.variance)
        _require(self.spacing in get_args(Spacing), "spacing", ", ".join(get_args(Spacing)), self.spacing)
        ordered = clip is None or (len(clip) == 2 and all(map(_is_number, clip)) and clip[0] < clip[1])
        _require(ordered, "clip", "[low, high] or null", clip)
        _require(classes is None or (type(classes) is int and classes > 0), "classes", "a count or null", classes)
        null = self.null_class
        known = null is None or (type(null) is int and classes is not None and 0 <= null < classes)
        _require(known, "null_class", "one of the classes or null", null)
        tensors = {"x", "t", "out"} if classes is None else {"x", "t", "y", "out"}
        named = isinstance(self.names, Mapping) and all(isinstance(name, str) for name in self.names.values())
        _require(named and set(self.names) == tensors, "names", f"names of {sorted(tensors)}", self.names)
        _require(isinstance(self.precision, str), "precision", "a string", self.precision)
        _require(all(map(_is_number, self.betas)), "betas", "a list of numbers", "something else")
        Schedule(np.array(self.betas))

    @property
    def schedule(self) -> Schedule:
        return Schedule(np.array(self.betas))

    @property
    def output_channels(self) -> int:
        """Of what the network says: the image's, and as many again if it learned the variance."""
        return self.image_shape[0] * (2 if self.variance in ("learned", "learned_range") else 1)

    @property
    def sha256(self) -> str:
        """SHA-256 of `to_json()`: one card, one hash."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """One line, keys in the order of the fields, floats in full."""
        return json.dumps({"format": FORMAT, **asdict(self)}, allow_nan=False)

    @classmethod
    def from_json(cls, text: str, source: str = "card") -> "ModelCard":
        """Read a card. Raises DdpmRtError, which begins with `source`, for anything but a whole format-1 card."""
        try:
            raw = json.loads(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise DdpmRtError(f"{source}: the model card is not JSON; export the model again") from error
        if not isinstance(raw, dict) or raw.pop("format", None) != FORMAT:
            raise DdpmRtError(f"{source}: not a model card of format {FORMAT}; export the model again")
        try:
            provenance = _record(Provenance, raw.get("provenance"), "provenance.")
            known = {**raw, "provenance": provenance} if "provenance" in raw else raw
            return _record(cls, {key: tuple(v) if isinstance(v, list) else v for key, v in known.items()}, "")
        except (TypeError, ValueError, AttributeError) as error:
            raise DdpmRtError(f"{source}: the model card is wrong: {error}; export the model again") from error


def _record(kind: type[Record], raw: Any, prefix: str) -> Record:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(raw, dict):
        raise ValueError(f"missing key '{prefix.rstrip('.')}'")
    if unknown := sorted(raw.keys() - known):
        raise ValueError(f"unknown key '{prefix}{unknown[0]}'")
    if missing := sorted(known - raw.keys()):
        raise ValueError(f"missing key '{prefix}{missing[0]}'")
    return kind(**raw)


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _require(holds: bool, key: str, wanted: str, found: object) -> None:
    if not holds:
        raise ValueError(f"{key} must be {wanted}, not {found!r}")
