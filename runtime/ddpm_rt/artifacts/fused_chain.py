"""The metadata of a fused chain, an ONNX file of `ddpm-rt fuse` that draws whole images in one call."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..errors import DdpmRtError
from ..limits import FLOAT32_MAX
from ..samplers.compiled_sampler import CompiledSampler
from .bounded_read import failure, parse_json
from .card import ModelCard
from .card_facts import INPUTS
from .facts import is_digest, is_number, maps, require
from .onnx_card import read_onnx_card
from .onnx_metadata import read_metadata
from .steps_file import parse_steps, steps_text

TAKEN = ("seed", "sample", "y", "image")  # names of a chain's own inputs and output
PREFIXES = ("chain.", "network.", "input.")  # of values inside a chain, and of inputs whose names are taken
METADATA_KEY, STEPS_KEY = "ddpm_rt.fused", "ddpm_rt.fused.steps"  # of ONNX's metadata_props
IMAGES = ("float32", "uint8")
AGAIN = "fuse it again with `ddpm-rt fuse`"


@dataclass(frozen=True)
class FusedFacts:
    """What a fused chain adds to its card and its table. Raises ValueError when they cannot be true."""

    image: str  # float32 [batch, C, H, W], or uint8 [batch, H, W, C]
    guidance: float  # 1.0: none
    model_sha256: str  # of the network's file
    null_inputs: Mapping[str, str] = field(default_factory=dict)  # SHA-256 of each value, in the type of the input

    def __post_init__(self) -> None:
        require(self.image in IMAGES, "image", " or ".join(IMAGES), self.image)
        number = is_number(self.guidance) and abs(self.guidance) <= FLOAT32_MAX
        require(number, "guidance", "a number that float32 can hold", self.guidance)
        require(is_digest(self.model_sha256), "model_sha256", "a SHA-256", self.model_sha256)
        hashed = maps(self.null_inputs, is_digest, INPUTS)
        require(hashed, "null_inputs", "an object of SHA-256", self.null_inputs)

    def content(self) -> dict[str, Any]:
        """What JSON has of the facts: format 1 without null inputs, else 2."""
        known = {"format": 2 if self.null_inputs else 1, **asdict(self)}
        if not self.null_inputs:
            del known["null_inputs"]
        return known


@dataclass(frozen=True)
class FusedChain:
    """A fused chain: the card of its network, the table that it runs, and how it was fused."""

    card: ModelCard
    sampler: CompiledSampler
    facts: FusedFacts

    def metadata(self) -> dict[str, str]:
        """The texts that make an ONNX file of this chain known to `read_fused`, without the card's."""
        facts = json.dumps(self.facts.content(), allow_nan=False)
        return {METADATA_KEY: facts, STEPS_KEY: steps_text(self.sampler, self.card)}


def input_name(name: str) -> str:
    """What a chain calls an input of its network: its name, or `input.NAME` where the chain itself has that name."""
    return f"input.{name}" if name in TAKEN or name.startswith(PREFIXES) else name


def is_fused(path: Path) -> bool:
    """Whether the ONNX file is a fused chain. Raises DdpmRtError when it is no ONNX model."""
    return METADATA_KEY in read_metadata(path)


def read_fused(path: Path) -> FusedChain:
    """Raises DdpmRtError for anything but a whole fused chain."""
    card, texts = read_onnx_card(path), read_metadata(path)
    if METADATA_KEY not in texts or STEPS_KEY not in texts:
        raise failure(path, "is not a fused chain", AGAIN)
    sampler = parse_steps(texts[STEPS_KEY], card, f"the step table in {path}")
    try:
        return FusedChain(card, sampler, _facts(parse_json(texts[METADATA_KEY], constants=False)))
    except ValueError as error:
        raise failure(f"{path}:", f"the facts of the fused chain are wrong: {error}", AGAIN) from error


def read_network_card(path: Path) -> ModelCard:
    """The card of a network. Raises DdpmRtError as `read_onnx_card` does, and for a fused chain."""
    card = read_onnx_card(path)
    if is_fused(path):
        raise not_a_network(path)
    return card


def not_a_network(path: Path) -> DdpmRtError:
    """The error for a fused chain where a network is needed."""
    return failure(path, "is a fused chain, which draws whole images", "name the network that it was made from")


def _facts(raw: Any) -> FusedFacts:
    number = raw.get("format") if isinstance(raw, dict) else None
    require(number in (1, 2) and type(number) is int, "format", "1 or 2", raw)
    keys = {"format", "image", "guidance", "model_sha256"} | ({"null_inputs"} if number == 2 else set())
    require(raw.keys() == keys, "the keys", ", ".join(sorted(keys)), sorted(raw))
    return FusedFacts(raw["image"], raw["guidance"], raw["model_sha256"], raw.get("null_inputs", {}))
