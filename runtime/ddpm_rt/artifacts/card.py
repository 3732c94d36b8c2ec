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

from ..limits import MAX_CLASSES, MAX_ELEMENTS, MAX_SIDE, MAX_TIMESTEPS
from ..samplers.schedule import Prediction, Schedule, Spacing, Variance
from ..text import quoted
from .bounded_read import failure, parse_json
from .facts import TEXT, is_clip, is_number, is_text, maps, require

FORMAT = 1
ENTRIES = 100  # of a mapping in a card
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
        for key, entries in (("versions", self.versions), ("parity", self.parity)):
            require(maps(entries, lambda _: True, ENTRIES), key, f"an object of at most {ENTRIES} keys", entries)
        for key, text in (("source", self.source), ("weights_sha256", self.weights_sha256), *self.versions.items()):
            require(is_text(text), key, f"a string of at most {TEXT} characters", text)
        for key, number in self.parity.items():
            require(is_number(number), f"parity.{key}", "a finite number", number)


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
        counts = three and all(type(side) is int and 0 < side <= MAX_SIDE for side in shape)
        sized = counts and math.prod(shape) <= MAX_ELEMENTS
        require(sized, "image_shape", f"[C, H, W] of at most {MAX_ELEMENTS} numbers", shape)
        require(self.prediction in get_args(Prediction), "prediction", "eps, x0 or v", self.prediction)
        require(self.variance in get_args(Variance), "variance", ", ".join(get_args(Variance)), self.variance)
        require(self.spacing in get_args(Spacing), "spacing", ", ".join(get_args(Spacing)), self.spacing)
        require(clip is None or is_clip(clip), "clip", "[low, high] in float32, or null", clip)
        counted = classes is None or (type(classes) is int and 0 < classes <= MAX_CLASSES)
        require(counted, "classes", f"a count up to {MAX_CLASSES}, or null", classes)
        null = self.null_class
        known = null is None or (type(null) is int and classes is not None and 0 <= null < classes)
        require(known, "null_class", "one of the classes or null", null)
        tensors = {"x", "t", "out"} if classes is None else {"x", "t", "y", "out"}
        named = maps(self.names, is_text)
        require(named and set(self.names) == tensors, "names", f"names of {sorted(tensors)}", self.names)
        require(is_text(self.precision), "precision", f"a string of at most {TEXT} characters", self.precision)
        listed = isinstance(self.betas, tuple) and len(self.betas) <= MAX_TIMESTEPS and all(map(is_number, self.betas))
        require(listed, "betas", f"a list of at most {MAX_TIMESTEPS} numbers", self.betas)
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
        again = "export the model again"
        try:
            raw = parse_json(text)
        except ValueError as error:
            raise failure(f"{source}:", f"the model card cannot be read: {error}", again) from error
        if not isinstance(raw, dict) or raw.pop("format", None) != FORMAT:
            raise failure(f"{source}:", f"not a model card of format {FORMAT}", again)
        try:
            provenance = _record(Provenance, raw.get("provenance"), "provenance.")
            known = {**raw, "provenance": provenance} if "provenance" in raw else raw
            return _record(cls, {key: tuple(v) if isinstance(v, list) else v for key, v in known.items()}, "")
        except (TypeError, ValueError, AttributeError) as error:
            raise failure(f"{source}:", f"the model card is wrong: {error}", again) from error


def _record(kind: type[Record], raw: Any, prefix: str) -> Record:
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]
    if not isinstance(raw, dict):
        raise ValueError(f"missing key '{prefix.rstrip('.')}'")
    if unknown := sorted(raw.keys() - known):
        raise ValueError(f"unknown key {quoted(prefix + unknown[0])}")
    if missing := sorted(known - raw.keys()):
        raise ValueError(f"missing key '{prefix}{missing[0]}'")
    return kind(**raw)
