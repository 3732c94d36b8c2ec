"""The noise schedule, and the timesteps that a sampler visits. Pure functions of `betas`.

Symbols follow DDPM (Ho et al. 2020); `t` counts from 0, so `betas[t]` is the paper's beta_{t+1}.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ..limits import as_integer
from ..text import quoted

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Levels = NDArray[Any]  # [N], of a process: int64 or float64 timesteps, float64 sigmas or times
Prediction = Literal["eps", "x0", "v", "edm", "velocity"]
Variance = Literal["fixed_small", "fixed_large", "learned", "learned_range"]
Spacing = Literal["trailing", "leading", "linspace", "logsnr", "karras"]

RHO = 7.0  # Karras et al. 2022, section 3
NUMBERS_AT_ONCE = 1 << 22  # of a matrix that is not needed as a whole


def betas_of(alpha_bar: Floats) -> Floats:
    """The betas of a schedule with these alpha_bar `[T]`, from low to high noise."""
    return np.asarray(1.0 - alpha_bar / np.append(1.0, alpha_bar[:-1]))


@dataclass(frozen=True, eq=False)
class Schedule:
    """The forward process: betas float64 `[T]`, read-only.

    `precision` is the dtype of `alpha_bar` and of everything that a sampler derives from it: float64, except in a
    dialect that repeats another implementation's rounding. `zero_alpha_bar` replaces an alpha_bar of exactly 0.
    Raises ValueError unless every beta lies inside (0, 1); the last of several may be 1 (zero terminal SNR).
    """

    kind: ClassVar[str] = "betas"
    betas: Floats
    precision: type[np.floating[Any]] = np.float64
    zero_alpha_bar: float = 0.0

    def __post_init__(self) -> None:
        betas = np.array(self.betas, dtype=np.float64)  # a copy: the caller's array stays writable
        ends_at_one = betas.ndim == 1 and len(betas) > 1 and betas[-1] == 1.0
        inside = betas[:-1] if ends_at_one else betas
        if betas.ndim != 1 or not len(betas) or not ((inside > 0) & (inside < 1)).all():
            raise ValueError("betas must be a non-empty 1-D array with every value inside (0, 1); the last may be 1")
        betas.setflags(write=False)
        object.__setattr__(self, "betas", betas)

    def __len__(self) -> int:
        return len(self.betas)

    @cached_property
    def alpha_bar(self) -> Floats:
        """Product of 1 - beta up to and including t (Ho et al., below eq. 3)."""
        alphas = 1.0 - self.betas.astype(self.precision)
        product = np.cumprod(alphas, dtype=np.float64).astype(self.precision)  # equals torch's float32 cumprod
        product[product == 0.0] = self.zero_alpha_bar
        return product

    def check_levels(self, levels: Levels) -> None:
        """Raises ValueError unless the timesteps descend strictly and lie inside the schedule."""
        valid = descend("timesteps", levels) and levels[0] <= len(self) - 1 and levels[-1] >= 0
        if not valid:
            raise ValueError(f"timesteps must descend strictly and lie in [0, {len(self) - 1}]")

    def alpha_bar_at(self, levels: Levels) -> Floats:
        """alpha_bar at each timestep. Between two timesteps, log(sigma) is linear in t, as in k-diffusion."""
        if levels.dtype.kind in "iu":
            return self.alpha_bar[levels]
        sigma = np.exp(np.interp(levels, np.arange(len(self)), self._log_sigma()))
        return np.asarray(1.0 / (1.0 + np.square(sigma)))

    def level_of(self, times: Levels) -> Levels:
        """The timesteps themselves: the network is told nothing else."""
        return times

    def scale_at(self, levels: Levels, prediction: Prediction) -> Floats:
        """1: the loop's x is that of a DDPM."""
        return np.ones(len(levels))

    def karras_timesteps(self, steps: int) -> Floats:
        """`steps` timesteps, descending, whose sigma = sqrt((1 - alpha_bar) / alpha_bar) is spaced as by `karras`.

        They are fractional, float64. Raises ValueError for more steps than timesteps.
        """
        _check_steps(len(self), steps)
        log_sigma = self._log_sigma()
        wanted = np.log(karras(float(np.exp(log_sigma[-1])), float(np.exp(log_sigma[0])), steps))
        return np.interp(wanted, log_sigma, np.arange(len(self), dtype=np.float64))

    def _log_sigma(self) -> Floats:
        if not self.alpha_bar[-1]:
            raise ValueError("sigma is infinite where alpha_bar is 0; use whole timesteps and another spacing")
        return np.asarray(0.5 * (np.log(1.0 - self.alpha_bar) - np.log(self.alpha_bar)), np.float64)


def karras(high: float, low: float, steps: int) -> Floats:
    """Karras et al. 2022, eq. (5) with rho 7: `steps` sigmas from `high` to `low`. A single one is `high`."""
    if steps == 1:
        return np.array([high])
    sigmas = np.linspace(high ** (1 / RHO), low ** (1 / RHO), steps) ** RHO
    sigmas[0], sigmas[-1] = high, low  # exactly, whatever the powers round to
    return np.asarray(sigmas)


def descend(name: str, levels: Levels) -> bool:
    """Whether an array `[N]` descends strictly. Raises ValueError for anything but an array of real numbers."""
    if not isinstance(levels, np.ndarray) or levels.dtype.kind not in "iuf":
        raise ValueError(f"{name} must be a NumPy array of numbers, not {quoted(levels)}")
    return levels.ndim == 1 and len(levels) > 0 and bool((levels[1:] < levels[:-1]).all())


def timesteps(train_steps: int, steps: int, spacing: Spacing = "trailing") -> Integers:
    """`steps` of the `train_steps` timesteps, descending, int64.

    trailing  round(T - i T / steps) - 1: always starts at T - 1, the noisiest (Lin et al. 2023, table 2). np.arange
              computes T - i T / steps, so that ties (48 of 1000) round as in diffusers.
    leading   i (T // steps), reversed: always ends at 0, and may start far from pure noise
    linspace  round(i (T - 1) / (steps - 1)), reversed: includes T - 1 and 0; a single step is t = 0

    Halves round to even. Raises ValueError unless 1 <= steps <= train_steps, and for the spacing logsnr, which needs
    a schedule: see `logsnr_timesteps`.
    """
    _check_steps(train_steps, steps)
    i = np.arange(steps)
    if spacing == "trailing":
        return np.round(np.arange(train_steps, 0, -train_steps / steps)[:steps]).astype(np.int64) - 1
    if spacing == "leading":
        return (i * (train_steps // steps))[::-1].astype(np.int64)
    if spacing == "linspace":
        return np.round(np.linspace(0, train_steps - 1, steps))[::-1].astype(np.int64)
    raise ValueError(f"spacing must be trailing, leading or linspace, not {spacing!r}")


def logsnr_timesteps(schedule: Schedule, steps: int) -> Integers:
    """`steps` distinct timesteps, descending from T - 1 to 0, int64, spaced evenly in log(alpha_bar / (1 - alpha_bar)).

    The spacing is as even as integers allow. Solvers of higher order want it (Lu et al. 2022, section 5.1), because
    their error depends on the step in this log-SNR. A single step is T - 1. Raises ValueError unless 1 <= steps <= T.
    """
    _check_steps(len(schedule), steps)
    with np.errstate(divide="ignore"):
        logsnr = np.log(schedule.alpha_bar) - np.log(1.0 - schedule.alpha_bar)
    if np.isinf(logsnr[-1]):  # alpha_bar is 0 at T - 1: use a finite value a little below its neighbour's
        logsnr[-1] = logsnr[-2] - 1.0
    wanted = np.linspace(logsnr[-1], logsnr[0], steps)[::-1]
    nearest = np.empty(steps, np.int64)  # ascending; below, each is made another
    for first in range(0, steps, at_once := max(1, NUMBERS_AT_ONCE // len(logsnr))):
        part = wanted[first : first + at_once, None]
        nearest[first : first + at_once] = np.abs(logsnr[None] - part).argmin(1)
    i = np.arange(steps)
    distinct = np.maximum.accumulate(nearest - i) + i
    return np.minimum(distinct, len(schedule) - steps + i)[::-1].astype(np.int64)


def _check_steps(train_steps: int, steps: int) -> None:
    as_integer("steps", steps)
    if not 1 <= steps <= as_integer("train_steps", train_steps):
        raise ValueError(f"steps must lie between 1 and the model's {train_steps} training steps, not {steps}")
