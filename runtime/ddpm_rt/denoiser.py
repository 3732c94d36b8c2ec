"""A denoiser is a callable: one evaluation of a network. `engine.py` adds the card and `close`."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

Batch = NDArray[np.float32]  # [B, C, ...]; [B, C, H, W] of images, whose values lie in about [-1, 1]
Times = NDArray[Any]  # [B]: int64 timesteps, counted from 0; float64 where the table has fractional times
Inputs = Mapping[str, NDArray[Any]]  # values of a network's named inputs, each [B, ...]


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


def times_as(t: Times, dtype: np.dtype[Any] | type[Any]) -> NDArray[Any]:
    """t in the dtype of the graph. Raises ValueError for a fractional time where the graph takes integers."""
    if np.dtype(dtype).kind in "iu" and t.dtype.kind == "f" and (t != np.rint(t)).any():
        raise ValueError(f"the network takes whole timesteps, not {t[0]:g}; choose another spacing, or list timesteps")
    return t.astype(dtype, copy=False)


def plain_time(t: float) -> int | float:
    """A time as it is shown and read: an int if it is whole."""
    return int(t) if float(t).is_integer() else float(t)


def arguments_of(y: NDArray[np.int64] | None, inputs: Inputs | None) -> tuple[Any, ...]:
    """The arguments of a denoiser after x and t: it gets no argument for what its network does not take."""
    return (y, inputs) if inputs else () if y is None else (y,)


class Denoiser(Protocol):
    """One evaluation of the network: its prediction for each image of `x` at its time in `t`.

    The result is `[B, C, ...]`, or `[B, 2 C, ...]` from a network with a learned variance. A network with
    self-conditioning also takes the x0 of the step before, `[B, C, ...]`.
    """

    def __call__(self, x: Batch, t: Times, /, *prev_x0: Batch) -> Batch: ...


class LabelledDenoiser(Protocol):
    """A denoiser that also takes the class of each image, y int64 `[B]`, and named inputs."""

    def __call__(self, x: Batch, t: Times, y: NDArray[np.int64] | None = None, /) -> Batch: ...
