"""Facts of a card that only some models have: named conditions, and latents in place of pixels."""

import math
import re
from dataclasses import dataclass
from typing import Literal, get_args

from ..limits import MAX_ELEMENTS, MAX_SIDE
from .facts import is_number, matches, require

InputType = Literal["float32", "int64", "int32"]
Role = Literal["condition", "prev_x0"]
INPUTS = 16  # of one network, besides x, t and y
RANK = 6  # of one of them, without the batch
FILE_NAME = re.compile(r"[\w .+-]{1,200}")


@dataclass(frozen=True)
class InputFacts:
    """One more input of the network, `[B, *shape]`. Raises ValueError when that cannot be.

    The role `prev_x0` is self-conditioning (Chen et al. 2023): the loop gives the x0 of the previous step, clipped, and
    zeros in the first step. A `condition` is given by the user.
    """

    dtype: InputType
    shape: tuple[int, ...]  # without the batch; () is a number for each sample
    role: Role = "condition"

    def __post_init__(self) -> None:
        require(self.dtype in get_args(InputType), "dtype", ", ".join(get_args(InputType)), self.dtype)
        require(self.role in get_args(Role), "role", " or ".join(get_args(Role)), self.role)
        require(is_shape(self.shape, 0, RANK), "shape", f"a list of at most {RANK} sides", self.shape)


@dataclass(frozen=True)
class Latents:
    """The network draws latents; an image is decoder(x / scale + shift). Raises ValueError when that cannot be."""

    scale: float  # what the training multiplied the encoder's latents by
    shift: float  # what it subtracted before
    decoder: str | None  # the name of an ONNX file beside the model: latents [B, C, ...] to images; None: there is none

    def __post_init__(self) -> None:
        for key in ("scale", "shift"):
            require(is_number(getattr(self, key)), key, "a number", getattr(self, key))
        require(self.scale != 0, "scale", "a number other than 0", self.scale)
        named = self.decoder is None or matches(FILE_NAME, self.decoder)
        require(named, "decoder", "a file name without folders, or null", self.decoder)


def is_shape(shape: object, least: int, most: int) -> bool:
    """Whether `shape` is a tuple of `least` to `most` sides, each of which a network can have."""
    if not isinstance(shape, tuple) or not least <= len(shape) <= most:
        return False
    return all(type(side) is int and 0 < side <= MAX_SIDE for side in shape) and math.prod(shape) <= MAX_ELEMENTS
