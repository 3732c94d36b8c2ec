"""How a TensorRT plan was made: the parts `build` and `refit` of a plan's record."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeVar, get_args

from ..limits import MAX_BATCH
from .facts import check_keys, is_count, is_digest, is_text, maps, matches, require

VERSION, CAPABILITY = re.compile(r"[0-9A-Za-z.+_-]{1,64}"), re.compile(r"\d{1,3}\.\d{1,3}\+?")
OPTION = re.compile(r"[0-9a-z:,+]{1,1000}")  # 1:8:64, ampere+

Part = TypeVar("Part")
Flavour = Literal["tensorrt", "rtx"]
FLAVOURS: dict[Flavour, str] = {"tensorrt": "TensorRT", "rtx": "TensorRT-RTX"}  # titles
Profile = tuple[int, int, int]  # TensorRT's min, opt and max batch; the plan is tuned for opt


@dataclass(frozen=True)
class Graph:
    """The identity of the graph that a plan was built from. `refit` takes weights only from an equal graph."""

    sha256: str  # of the graph, without the values of its weights
    opset: int
    batch: int | None  # the fixed batch of the graph, None if the batch is dynamic
    weights: Mapping[str, str]  # name: type and shape

    def __post_init__(self) -> None:
        require(is_digest(self.sha256), "build.graph.sha256", "a SHA-256", self.sha256)
        require(is_count(self.opset), "build.graph.opset", "a count", self.opset)
        require(self.batch is None or is_count(self.batch), "build.graph.batch", "a count or null", self.batch)
        require(maps(self.weights, is_text), "build.graph.weights", "an object of name: text", self.weights)


@dataclass(frozen=True)
class Refit:
    """The source of weights that `refit` put into a plan after the build."""

    built_as: str  # SHA-256 of the card at build time, which the network's name in the plan contains
    card: str  # SHA-256 of the card of the new weights
    onnx: Mapping[str, str]  # file name: SHA-256, of the ONNX file with the new weights and of its external data

    def __post_init__(self) -> None:
        require(is_digest(self.built_as), "refit.built_as", "a SHA-256", self.built_as)
        require(is_digest(self.card), "refit.card", "a SHA-256", self.card)
        require(maps(self.onnx, is_digest), "refit.onnx", "an object of name: SHA-256", self.onnx)


@dataclass(frozen=True)
class Build:
    """How a plan was built, and on which GPUs it runs."""

    flavour: Flavour
    version: str  # of TensorRT
    compute_capabilities: tuple[str, ...]  # GPUs that can run the plan: 8.9, or 8.0+ for 8.0 and newer
    profiles: tuple[Profile, ...]
    tensors: Mapping[str, str]  # input or output: type
    layers: Mapping[str, Mapping[str, int]]  # kind of layer: output type: number of layers, before fusion
    options: Mapping[str, Any]
    onnx: Mapping[str, str]  # file name: SHA-256, of the ONNX file and of its external data
    graph: Graph | None = None  # None if `refit` cannot replace the weights

    def __post_init__(self) -> None:
        capabilities, profiles = self.compute_capabilities, self.profiles
        require(self.flavour in get_args(Flavour), "build.flavour", "tensorrt or rtx", self.flavour)
        require(matches(VERSION, self.version), "build.version", "a version", self.version)
        capable = len(capabilities) > 0 and all(matches(CAPABILITY, one) for one in capabilities)
        require(capable, "build.compute_capabilities", "a list of X.Y or X.Y+", capabilities)
        batched = len(profiles) > 0 and all(map(_is_profile, profiles))
        require(batched, "build.profiles", "a list of [min, opt, max]", profiles)
        require(maps(self.tensors, is_text), "build.tensors", "an object of name: type", self.tensors)
        counted = maps(self.layers, lambda types: maps(types, is_count))
        require(counted, "build.layers", "an object of kind: {type: count}", self.layers)
        require(maps(self.options, _is_option), "build.options", "options of `ddpm-rt build`", self.options)
        require(maps(self.onnx, is_digest), "build.onnx", "an object of name: SHA-256", self.onnx)


def parse_build(raw: Any) -> Build:
    """The JSON value of `build`. Raises ValueError."""
    check_keys(raw, {field.name for field in fields(Build)}, "build.")
    for key in ("profiles", "compute_capabilities"):
        require(isinstance(raw[key], list), f"build.{key}", "a list", raw[key])
    profiles = tuple(tuple(profile) if isinstance(profile, list) else profile for profile in raw["profiles"])
    graph = _optional(Graph, raw["graph"], "build.graph.")
    lists = {"profiles": profiles, "compute_capabilities": tuple(raw["compute_capabilities"])}
    return Build(**{**raw, **lists, "graph": graph})


def parse_refit(raw: Any) -> Refit | None:
    """The JSON value of `refit`, where null is None. Raises ValueError."""
    return _optional(Refit, raw, "refit.")


def _optional(kind: type[Part], raw: Any, prefix: str) -> Part | None:
    if raw is None:
        return None
    check_keys(raw, {field.name for field in fields(kind)}, prefix)  # type: ignore[arg-type]
    return kind(**raw)


def _is_profile(value: object) -> bool:
    counts = isinstance(value, tuple) and len(value) == 3 and all(map(is_count, value))
    return counts and 1 <= value[0] <= value[1] <= value[2] <= MAX_BATCH  # type: ignore[index]


def _is_option(value: object) -> bool:
    """Whether `value` is safe as an option of `ddpm-rt build`: messages repeat the options as a command to run."""
    return value is None or type(value) is bool or is_count(value) or matches(OPTION, value)
