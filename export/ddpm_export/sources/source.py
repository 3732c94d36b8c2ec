"""A trained network and the facts for its card, independent of the checkpoint's layout."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ddpm_ref.checkpoint import weights_sha256
from ddpm_ref.diffusion import AnyVariance, Prediction, Spacing
from ddpm_ref.errors import CheckpointError
from ddpm_rt.artifacts.card_facts import InputFacts


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """`module(x, t)`, or `module(x, t, y)` with classes, then `inputs`, in eval mode, float32, on the CPU."""

    layout: str  # the name of the checkpoint's layout
    module: nn.Module
    image_shape: tuple[int, ...]  # C, H, W; C, L of a sequence
    betas: NDArray[np.float64]  # [T]
    prediction: Prediction
    variance: AnyVariance
    clip: tuple[float, float] | None
    spacing: Spacing
    classes: int | None = None
    null_class: int | None = None  # the label that means no class
    inputs: Mapping[str, InputFacts] = field(default_factory=dict)  # more inputs, in the order of the arguments
    autoencoder: Any = None  # of diffusers, if the network draws latents
    notes: tuple[str, ...] = ()  # messages for the user about reading the checkpoint

    @property
    def weights_sha256(self) -> str:
        return weights_sha256(self.module.state_dict())


def check_sides(path: Path, sides: Sequence[int], halvings: int) -> None:
    """Raises CheckpointError unless each side can be halved `halvings` times, so that the skip connections fit."""
    step = 2**halvings
    if any(side % step for side in sides):
        raise CheckpointError(
            f"{path}: this network halves images {halvings} times, which {' x '.join(map(str, sides))} does not allow; "
            f"the sides must be multiples of {step}"
        )
