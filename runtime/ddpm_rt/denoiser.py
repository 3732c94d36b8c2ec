"""A denoiser is a callable. ONNX Runtime is one, a TensorRT plan will be one, tests pass a lambda."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .card import ModelCard

Batch = NDArray[np.float32]  # [B, C, H, W], around [-1, 1]
Times = NDArray[np.int64]  # [B], counted from 0


class Denoiser(Protocol):
    """One evaluation of the network: what it predicts about each image of `x` at its timestep."""

    def __call__(self, x: Batch, t: Times, /) -> Batch: ...


class Engine(Denoiser, Protocol):
    """A denoiser from a file, with its card."""

    @property
    def card(self) -> ModelCard: ...
