"""One kind of model: its network, its card, and its own loop."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ddpm_export.peers.adapted import Adapted

Loop = Callable[[], Iterator[torch.Tensor]]  # x after every step, in the state of the peer


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A network with random weights, as `ddpm_rt` and as its own project sample it."""

    adapted: Adapted | None = None  # None: it is read from `checkpoint`
    loop: Loop
    request: dict[str, Any]  # what `ddpm_rt` is asked for, besides seed and count
    inputs: dict[str, np.ndarray] = field(default_factory=dict)
    tolerance: float = 1e-4
    reason: str = ""  # of a tolerance above that
    checkpoint: Callable[[Path], list[str]] | None = None  # writes it, and returns the arguments of `ddpm-rt export`
    pictures: Callable[[], np.ndarray] | None = None  # uint8 [N, H, W, 3], as the project's own pipeline makes them


def condition(*shape: int, seed: int = 5) -> np.ndarray:
    """Values in [-1, 1] that no sampler draws."""
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)
