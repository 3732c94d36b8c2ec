"""Forward processes of continuous levels: noise levels (sigma), and the straight flow from data to noise."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np

from .schedule import Floats, Levels, Prediction, Spacing, descend, karras

SigmaTime = Literal["sigma", "log_sigma"]
FlowTime = Literal["t", "1-t"]
LEAST_SIGMA, MOST_SIGMA = 1e-5, 1e6  # between them, float64 holds alpha_bar and 1 - alpha_bar to 6 digits and more


class Continuous:
    """What `SigmaProcess` and `FlowProcess` have in common: levels are real numbers between two ends."""

    precision: type[np.floating[Any]] = np.float64
    levels_are: ClassVar[str]  # in a message

    def ends(self) -> tuple[float, float]:
        """The noisiest level, and the one next to the data."""
        raise NotImplementedError

    def check_levels(self, levels: Levels) -> None:
        high, low = self.ends()
        slack = 1e-9 * high  # a spacing computes its ends
        valid = descend(self.levels_are, levels) and levels[0] <= high + slack and levels[-1] >= low - slack
        if not valid:
            raise ValueError(f"{self.levels_are} must descend strictly and lie in [{low:g}, {high:g}]")


@dataclass(frozen=True)
class SigmaProcess(Continuous):
    """x = x0 + sigma z (variance exploding; Karras et al. 2022, Song et al. 2023). Raises ValueError for other numbers.

    The network takes x, or with prediction `edm` x / sqrt(sigma^2 + sigma_data^2). It is told `time_scale` times sigma
    or its natural logarithm.
    """

    kind: ClassVar[str] = "sigma"
    levels_are: ClassVar[str] = "sigmas"
    sigma_min: float
    sigma_max: float
    time: SigmaTime = "sigma"
    time_scale: float = 1.0
    sigma_data: float | None = None  # deviation of the data, for prediction edm

    def __post_init__(self) -> None:
        if not LEAST_SIGMA <= self.sigma_min < self.sigma_max <= MOST_SIGMA:
            raise ValueError(
                f"sigmas must ascend within [{LEAST_SIGMA:g}, {MOST_SIGMA:g}], not {self.sigma_min} to {self.sigma_max}"
            )
        _check_time(self.time, SigmaTime, self.time_scale)
        if self.sigma_data is not None and not LEAST_SIGMA <= self.sigma_data <= MOST_SIGMA:
            raise ValueError(f"sigma_data must lie in [{LEAST_SIGMA:g}, {MOST_SIGMA:g}], not {self.sigma_data}")

    def ends(self) -> tuple[float, float]:
        return self.sigma_max, self.sigma_min

    def alpha_bar_at(self, levels: Levels) -> Floats:
        return np.asarray(1.0 / (1.0 + np.square(levels)))

    def time_at(self, levels: Floats) -> Floats:
        return np.asarray(self.time_scale * (levels if self.time == "sigma" else np.log(levels)))

    def level_of(self, times: Levels) -> Floats:
        told = times / self.time_scale
        return np.asarray(told if self.time == "sigma" else np.exp(told))

    def scale_at(self, levels: Levels, prediction: Prediction) -> Floats:
        deviation = np.sqrt(1.0 + np.square(levels))
        return np.asarray(deviation / self._total(levels) if prediction == "edm" else deviation)

    def x0_from(self, levels: Floats, prediction: Prediction) -> tuple[Floats, Floats] | None:
        """The coefficients of the network's input and of its output in x0; None for the predictions of a DDPM."""
        if prediction != "edm":
            return None
        data, total = self._data(), self._total(levels)  # Karras et al. 2022, table 1: c_skip / c_in, and c_out
        return data**2 / total, levels * data / total

    def spaced(self, steps: int, spacing: Spacing) -> Floats:
        """`steps` sigmas, descending from `sigma_max`. Raises ValueError for a spacing of timesteps."""
        if spacing == "karras":
            return karras(self.sigma_max, self.sigma_min, steps)
        if spacing == "logsnr":
            return np.geomspace(self.sigma_max, self.sigma_min, steps) if steps > 1 else np.array([self.sigma_max])
        raise ValueError(f"the noise levels of this model are spaced by karras or logsnr, not {spacing}")

    def _total(self, levels: Levels) -> Floats:
        """The deviation of x: 1 / c_in."""
        return np.asarray(np.sqrt(np.square(levels) + self._data() ** 2))

    def _data(self) -> float:
        if self.sigma_data is None:
            raise ValueError("prediction edm needs sigma_data, the deviation of the data")
        return self.sigma_data


@dataclass(frozen=True)
class FlowProcess(Continuous):
    """x = (1 - t) x0 + t z (rectified flow, Liu et al. 2022; Lipman et al. 2023). Raises ValueError for other numbers.

    The network takes x, and is told `time_scale` times t or 1 - t. A `velocity` is the derivative of x by t or 1 - t,
    whichever it is told: z - x0, or x0 - z.
    """

    kind: ClassVar[str] = "flow"
    levels_are: ClassVar[str] = "times"
    time: FlowTime = "t"
    time_scale: float = 1.0
    shift: float = 1.0  # of the spacing: t becomes shift t / (1 + (shift - 1) t) (Esser et al. 2024, eq. 23)

    def __post_init__(self) -> None:
        _check_time(self.time, FlowTime, self.time_scale)
        if not 1e-3 <= self.shift <= 1e3:
            raise ValueError(f"shift must lie in [0.001, 1000], not {self.shift}")

    def ends(self) -> tuple[float, float]:
        return 1.0, LEAST_SIGMA

    def alpha_bar_at(self, levels: Levels) -> Floats:
        return np.asarray(np.square(1.0 - levels) / np.square(self._deviation(levels)))

    def time_at(self, levels: Floats) -> Floats:
        return np.asarray(self.time_scale * (levels if self.time == "t" else 1.0 - levels))

    def level_of(self, times: Levels) -> Floats:
        told = times / self.time_scale
        return np.asarray(told if self.time == "t" else 1.0 - told)

    def scale_at(self, levels: Levels, prediction: Prediction) -> Floats:
        return self._deviation(levels)

    def x0_from(self, levels: Floats, prediction: Prediction) -> tuple[Floats, Floats] | None:
        """As of `SigmaProcess`: x0 = x - t velocity."""
        if prediction != "velocity":
            return None
        return np.ones_like(levels), -levels if self.time == "t" else levels

    def spaced(self, steps: int, spacing: Spacing) -> Floats:
        """`steps` times, descending from 1: 1 - i / steps, shifted. Raises ValueError for any spacing but trailing."""
        if spacing != "trailing":
            raise ValueError(f"the times of this flow are spaced by trailing, not {spacing}")
        t = 1.0 - np.arange(steps) / steps
        return np.asarray(self.shift * t / (1.0 + (self.shift - 1.0) * t))

    @staticmethod
    def _deviation(levels: Levels) -> Floats:
        return np.asarray(np.sqrt(np.square(1.0 - levels) + np.square(levels)))


Levelled = SigmaProcess | FlowProcess


def _check_time(time: str, known: Any, scale: float) -> None:
    if time not in get_args(known):
        raise ValueError(f"time must be {' or '.join(get_args(known))}, not {time!r}")
    if not (math.isfinite(scale) and 1e-6 <= abs(scale) <= 1e6):
        raise ValueError(f"time_scale must be a number of 1e-6 to 1e6 in size, not {scale}")
