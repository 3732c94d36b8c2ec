"""What runs a network: a denoiser from a file, with the card of its model."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from .artifacts.card import ModelCard
from .denoiser import Batch, Times


class Engine(Protocol):
    """A denoiser from a file, with its card; a class-conditional one takes a label for each image, int64 `[B]`."""

    def __call__(self, x: Batch, t: Times, y: NDArray[np.int64] | None = None, /) -> Batch: ...

    @property
    def card(self) -> ModelCard: ...
