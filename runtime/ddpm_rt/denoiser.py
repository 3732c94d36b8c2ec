"""A denoiser is a callable: one evaluation of a network. `engine.py` adds the card and `close`."""

from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Batch = NDArray[np.float32]  # [B, C, H, W], image values in about [-1, 1]
Times = NDArray[np.int64]  # [B], counted from 0


class TimeKind(NamedTuple):
    """A dtype in which a network may take t, and its name in each engine."""

    dtype: np.dtype[Any]
    onnx: str
    tensorrt: str


TIME_KINDS = (  # in the order of the kernels' `t_type`
    TimeKind(np.dtype(np.int64), "tensor(int64)", "INT64"),
    TimeKind(np.dtype(np.int32), "tensor(int32)", "INT32"),
    TimeKind(np.dtype(np.float32), "tensor(float)", "FLOAT"),
)


class Denoiser(Protocol):
    """One evaluation of the network: its prediction for each image of `x` at its timestep in `t`.

    The result is `[B, C, H, W]`, or `[B, 2 C, H, W]` from a network with a learned variance.
    """

    def __call__(self, x: Batch, t: Times, /) -> Batch: ...


class LabelledDenoiser(Protocol):
    """A denoiser that also takes the class of each image: y int64 `[B]`."""

    def __call__(self, x: Batch, t: Times, y: NDArray[np.int64] | None = None, /) -> Batch: ...
