"""A trained network with all that its card says, whoever trained it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ddpm_ref.checkpoint import weights_sha256
from ddpm_ref.diffusion import AnyVariance, Prediction, Spacing


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """`module(x, t)`, or `module(x, t, y)` with classes, in eval mode, float32, on the CPU."""

    layout: str  # the name of the form it was read from
    module: nn.Module
    image_shape: tuple[int, int, int]  # C, H, W
    betas: NDArray[np.float64]  # [T]
    prediction: Prediction
    variance: AnyVariance
    clip: tuple[float, float] | None
    spacing: Spacing
    classes: int | None = None
    null_class: int | None = None  # the label that stands for no class

    @property
    def weights_sha256(self) -> str:
        return weights_sha256(self.module.state_dict())
