"""The interface between the device loop and TensorRT or ONNX Runtime: a network that is enqueued on a CUDA stream."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from ..artifacts.card import ModelCard


class Buffers(NamedTuple):
    """Device addresses, fixed while an engine is bound to them; 0 for an input that the model lacks.

    x float32 `[batch, C, H, W]`; t of the engine's `time_type`, `[batch]`, or a single number if `one_time`; y int64
    `[batch]`; out float32 like x, of twice the channels if the variance is learned; scratch of `scratch_bytes(batch)`,
    aligned to 256 bytes; `inputs` the card's named inputs, `[batch, ...]` each.
    """

    x: int
    t: int
    y: int
    out: int
    scratch: int
    inputs: Mapping[str, int] = {}


def buffers_of(arena: Any, card: ModelCard) -> Buffers:
    """The addresses in an arena whose parts are called as the buffers, and as `input_part` says."""
    one = {name: arena.address(name) for name in Buffers._fields if name != "inputs"}
    return Buffers(**one, inputs={name: arena.address(input_part(card, name)) for name in card.inputs})


def input_part(card: ModelCard, name: str) -> str:
    """The part of an arena that holds a named input. Self-conditioning reads the x0 that the loop keeps."""
    return "x0" if name == card.prev_x0 else f"input {name}"


class Bound(Protocol):
    """The network at one batch, with the buffers that it reads and writes."""

    def enqueue(self, stream: int) -> None:
        """Queue one call of the network on this stream. Raises DdpmRtError if the engine refuses it.

        The first calls may allocate: before a capture, call once on each stream and wait.
        """

    def close(self) -> None:
        """Frees what the binding holds. The stream must be idle."""


class DeviceEngine(Protocol):
    """A network on the device that was current when it was opened, with its card."""

    @property
    def card(self) -> ModelCard: ...

    def model_sha256(self) -> str:
        """SHA-256 of the file that the network was read from."""

    @property
    def time_type(self) -> np.dtype[Any]:
        """The dtype of t in the graph: int64, int32 or float32."""

    @property
    def one_time(self) -> bool:
        """Whether t is one number for all images."""

    @property
    def capturable(self) -> bool:
        """Whether a CUDA graph may capture `enqueue`. An expectation until the first `bind`, exact afterwards."""

    def batch_for(self, count: int) -> int:
        """The batch to run `count` images with: larger (the caller pads), or smaller (the caller runs several)."""

    def scratch_bytes(self, batch: int) -> int:
        """Bytes of scratch memory that `bind(batch, ...)` needs."""

    def bind(self, batch: int, buffers: Buffers) -> Bound:
        """The network at this batch on these buffers. Raises ValueError for a batch that `batch_for` never gives."""

    def close(self) -> None:
        """Frees the engine, after every binding has been closed. A second call does nothing."""
