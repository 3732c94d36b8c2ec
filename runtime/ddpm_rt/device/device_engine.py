"""A network that is enqueued on a CUDA stream: all that the device loop knows of TensorRT or ONNX Runtime."""

from typing import Any, NamedTuple, Protocol

import numpy as np

from ..artifacts.card import ModelCard


class Buffers(NamedTuple):
    """Device addresses that never move while something is bound to them; 0 for what a model has not.

    x float32 `[batch, C, H, W]`; t of the engine's `time_type`, `[batch]`, or a single number if `one_time`; y int64
    `[batch]`; out float32 like x, of twice the channels if the variance is learned; scratch of `scratch_bytes(batch)`,
    aligned to 256 bytes.
    """

    x: int
    t: int
    y: int
    out: int
    scratch: int


class Bound(Protocol):
    """The network at one batch, with the buffers that it reads and writes."""

    def enqueue(self, stream: int) -> None:
        """One call of the network on this stream, without waiting for it. Raises DdpmRtError if it is not taken.

        The first calls may allocate: make one on each stream, and wait for it, before capturing.
        """

    def close(self) -> None:
        """Let go of what it holds on to. The stream must be idle."""


class DeviceEngine(Protocol):
    """A network on the device that was current when it was opened, with its card."""

    @property
    def card(self) -> ModelCard: ...

    def model_sha256(self) -> str:
        """SHA-256 of the file that the network was read from."""

    @property
    def time_type(self) -> np.dtype[Any]:
        """Of t in the graph: int64, int32 or float32."""

    @property
    def one_time(self) -> bool:
        """Whether t is one number for all images."""

    @property
    def capturable(self) -> bool:
        """Whether `enqueue` may be captured into a CUDA graph. Known for what was bound; until then an expectation."""

    def batch_for(self, count: int) -> int:
        """The batch to run `count` images with: larger (the caller fills up), or smaller (the caller runs several)."""

    def scratch_bytes(self, batch: int) -> int:
        """The scratch memory that `bind(batch, ...)` needs."""

    def bind(self, batch: int, buffers: Buffers) -> Bound:
        """The network at this batch on these buffers. Raises ValueError for a batch that `batch_for` never gives."""

    def close(self) -> None:
        """Let go of everything, after all that was bound has been closed. A second time does nothing."""
