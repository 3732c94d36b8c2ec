"""The model card: all that a sampler must know about a denoiser, kept as JSON inside the ONNX file.

Strict: every key of the card's format must be there and no other, and the betas are there in full.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import get_args

import numpy as np

from ..limits import MAX_CLASSES, MAX_ELEMENTS
from ..samplers.continuous import Levelled
from ..samplers.process import Process
from ..samplers.schedule import Prediction, Schedule, Spacing, Variance
from .bounded_read import failure, parse_json
from .card_checks import check_input_facts, check_process
from .card_facts import InputFacts, Latents, is_shape
from .card_format import (
    CARD_FORMATS,
    OF_FORMAT_2,
    check_facts_of_format_1,
    content_of,
    facts_of_format_2,
    record,
    with_tuples,
)
from .facts import TEXT, is_clip, is_number, is_text, maps, require

ENTRIES = 100  # of a mapping in a card
METADATA_KEY = "ddpm_rt.card"  # of ONNX's metadata_props


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
    """Facts about one exported model. Raises ValueError when they cannot be true.

    The last three fields are facts of format 2. A card of format 1 has no keys for them, and means their defaults.
    """

    image_shape: tuple[int, ...]  # of what the network draws: C, and up to three sides; C, H, W for an image
    betas: tuple[float, ...]  # of the process that the weights were trained with, float64; empty with `process`
    prediction: Prediction
    variance: Variance  # the one it is sampled with; a learned one is in the second half of the output's channels
    clip: tuple[float, float] | None  # the range that a predicted x0 is clipped to
    spacing: Spacing  # how fewer steps than it was trained with are chosen by default
    classes: int | None  # None: not class-conditional
    null_class: int | None  # the label that stands for no class, if the model was trained with one
    names: Mapping[str, str]  # of the graph's tensors: x, t, out, and y if class-conditional
    precision: str  # of weights and arithmetic: fp32
    provenance: Provenance
    process: Levelled | None = None  # a process of continuous levels; None: that of `betas`
    inputs: Mapping[str, InputFacts] = field(default_factory=dict)  # more inputs, by their names in the graph
    latents: Latents | None = None  # None: the network draws pixels, or numbers that are what they are

    def __post_init__(self) -> None:
        shape, clip, classes = self.image_shape, self.clip, self.classes
        sized = is_shape(shape, 1, 4)
        require(sized, "image_shape", f"[C, ...] of rank 1 to 4, of at most {MAX_ELEMENTS} numbers", shape)
        require(self.variance in get_args(Variance), "variance", ", ".join(get_args(Variance)), self.variance)
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
        check_process(self)
        check_input_facts(self)

    @property
    def schedule(self) -> Schedule:
        """The process of betas. Raises ValueError for a model of another process."""
        if self.process is not None:
            raise ValueError(f"the model's process is {self.process.kind}; this needs a model of betas")
        return Schedule(np.array(self.betas))

    @property
    def forward_process(self) -> Process:
        """The process that the weights were trained with."""
        return self.schedule if self.process is None else self.process

    @property
    def prev_x0(self) -> str | None:
        """The name of the input that takes the previous x0, in a model with self-conditioning."""
        return next((name for name, facts in self.inputs.items() if facts.role == "prev_x0"), None)

    @property
    def conditions(self) -> dict[str, InputFacts]:
        """The inputs that the user gives."""
        return {name: facts for name, facts in self.inputs.items() if facts.role == "condition"}

    @property
    def is_picture(self) -> bool:
        """Whether what is drawn can be shown: a grey or an RGB image of pixels."""
        return len(self.image_shape) == 3 and self.image_shape[0] in (1, 3) and self.latents is None

    @property
    def output_channels(self) -> int:
        """Of what the network says: the image's, and as many again if it learned the variance."""
        return self.image_shape[0] * (2 if self.variance in ("learned", "learned_range") else 1)

    @property
    def sha256(self) -> str:
        """SHA-256 of `to_json()`: one card, one hash."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()

    def to_json(self) -> str:
        """One line, floats in full. The format is 1 where that can say everything, for the sake of older readers."""
        return json.dumps(content_of(self), allow_nan=False)

    @classmethod
    def from_json(cls, text: str, source: str = "card") -> "ModelCard":
        """Read a card of format 1 or 2. Raises DdpmRtError, which begins with `source`, for anything else."""
        again = "export the model again"
        try:
            raw = parse_json(text)
        except ValueError as error:
            raise failure(f"{source}:", f"the model card cannot be read: {error}", again) from error
        number = raw.pop("format", None) if isinstance(raw, dict) else None
        if number not in CARD_FORMATS or type(number) is not int:
            raise failure(f"{source}:", "not a model card of format 1 or 2", f"{again}, or use a newer ddpm-rt")
        try:
            provenance = record(Provenance, raw.get("provenance"), "provenance.")
            known = {**raw, "provenance": provenance} if "provenance" in raw else raw
            facts = with_tuples(known) if number == 1 else facts_of_format_2(known)
            if number == 1:
                check_facts_of_format_1(facts)
            return record(cls, facts, "", absent=OF_FORMAT_2 if number == 1 else ())
        except (TypeError, ValueError, AttributeError) as error:
            raise failure(f"{source}:", f"the model card is wrong: {error}", again) from error
