"""What the samplers need to know of a forward process.

A process says how data and noise mix at each level, what the network is told there, and how its input is scaled. The
samplers know one state only, that of a DDPM: sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) z. Every other process is that
state times a factor, so its step tables are a DDPM's with other coefficients (Karras et al. 2022, section 4).
"""

from typing import Any, ClassVar, Protocol

import numpy as np

from .schedule import Floats, Levels, Prediction


class Process(Protocol):
    """A forward process: `Schedule` for betas, `SigmaProcess` or `FlowProcess`.

    Its levels are an array `[N]` that descends from noise to data: timesteps, sigmas, or times of the flow.
    """

    kind: ClassVar[str]  # betas, sigma or flow

    @property
    def precision(self) -> type[np.floating[Any]]:
        """The type in which alpha_bar is computed."""

    def check_levels(self, levels: Levels) -> None:
        """Raises ValueError unless the levels descend strictly and lie inside the process."""

    def alpha_bar_at(self, levels: Levels) -> Floats:
        """The share of the data in the variance at each level: signal^2 / (signal^2 + noise^2)."""

    def level_of(self, times: Levels) -> Levels:
        """The levels at which the network is told `times`, the column t of a step table."""

    def scale_at(self, levels: Levels, prediction: Prediction) -> Floats:
        """What the loop's x is a multiple of a DDPM's x by, at each level."""


def initial_scale(process: Process, level: float, prediction: Prediction) -> float:
    """What a chain that begins at `level` multiplies its noise by: x_T = initial_scale z. 1 for betas.

    The chain of a DDPM begins with z itself, whatever signal its last alpha_bar leaves (Ho et al. 2020, algorithm 2).
    """
    if process.kind == "betas":
        return 1.0
    at = np.array([level])
    return float((process.scale_at(at, prediction) * np.sqrt(1.0 - process.alpha_bar_at(at)))[0])
