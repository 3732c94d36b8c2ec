"""The noise schedule, and samplers as tables of coefficients.

Everything here is a pure function of `betas`, in float64. Symbols follow DDPM (Ho et al. 2020); `t` counts from 0, so
`betas[t]` is the paper's beta_{t+1}. A sampler is a function that returns a `StepTable`; the loop that runs it
(`sampler.py`) knows none of them.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Prediction = Literal["eps", "x0", "v"]
Variance = Literal["fixed_small", "fixed_large", "learned", "learned_range"]
Spacing = Literal["trailing", "leading", "linspace"]


@dataclass(frozen=True, eq=False)
class Schedule:
    """The forward process: betas float64 `[T]`, read-only. Raises ValueError unless each lies inside (0, 1)."""

    betas: Floats

    def __post_init__(self) -> None:
        betas = np.array(self.betas, dtype=np.float64)  # own copy: the caller keeps theirs
        if betas.ndim != 1 or not len(betas) or not ((betas > 0) & (betas < 1)).all():
            raise ValueError("betas must be a non-empty 1-D array with every value inside (0, 1)")
        betas.setflags(write=False)
        object.__setattr__(self, "betas", betas)

    def __len__(self) -> int:
        return len(self.betas)

    @cached_property
    def alpha_bar(self) -> Floats:
        """Product of 1 - beta up to and including t (Ho et al., below eq. 3)."""
        return np.cumprod(1.0 - self.betas, dtype=np.float64)


class StepTable(NamedTuple):
    """One row a reverse step; columns are the coefficients of the two updates of the loop, float64 `[steps]`.

    x0     = clip(x0_from_x * x + x0_from_out * out)
    x_next = mean_from_x0 * x0 + mean_from_x * x + mean_from_out * out + mean_from_prev_x0 * prev_x0 + sigma * z
    """

    t: Integers  # int64, what the network is told
    x0_from_x: Floats
    x0_from_out: Floats
    mean_from_x0: Floats
    mean_from_x: Floats
    mean_from_out: Floats
    mean_from_prev_x0: Floats  # the x0 of the row before: multi-step solvers
    sigma: Floats

    @property
    def steps(self) -> int:
        """Rows, that is calls of the network."""
        return len(self.t)


def timesteps(train_steps: int, steps: int, spacing: Spacing = "trailing") -> Integers:
    """`steps` of the `train_steps` timesteps, descending, int64.

    trailing  round(T - i T / steps) - 1: always starts at T - 1, the noisiest (Lin et al. 2023, table 2); the sum is
              np.arange's, so that a tie (48 of 1000) falls as it does in diffusers
    leading   i (T // steps), reversed: always ends at 0 and may start far from the noise
    linspace  round(i (T - 1) / (steps - 1)), reversed: both ends; one step is t = 0
    Halves round to even. Raises ValueError unless 1 <= steps <= train_steps.
    """
    if not 1 <= steps <= train_steps:
        raise ValueError(f"steps must lie between 1 and the {train_steps} the model was trained with, not {steps}")
    i = np.arange(steps)
    if spacing == "trailing":
        return np.round(np.arange(train_steps, 0, -train_steps / steps)[:steps]).astype(np.int64) - 1
    if spacing == "leading":
        return (i * (train_steps // steps))[::-1].astype(np.int64)
    if spacing == "linspace":
        return np.round(np.linspace(0, train_steps - 1, steps))[::-1].astype(np.int64)
    raise ValueError(f"spacing must be trailing, leading or linspace, not {spacing!r}")


def ddpm(
    schedule: Schedule, timesteps: Integers, *, prediction: Prediction = "eps", variance: Variance = "fixed_small"
) -> StepTable:
    """Ancestral sampling, Ho et al. 2020, eq. (7) and section 3.2, over any descending `timesteps`.

    On a subset of the timesteps the betas are those of the subset's own chain, 1 - alpha_bar_t / alpha_bar_prev
    (Nichol and Dhariwal 2021, eq. 19). fixed_small is the posterior's variance, fixed_large is beta.
    """
    now, before = _alpha_bars(schedule, timesteps)
    beta = 1.0 - now / before
    posterior_variance = beta * (1.0 - before) / (1.0 - now)
    if variance not in ("fixed_small", "fixed_large"):
        raise ValueError(f"variance must be fixed_small or fixed_large, not {variance!r}")
    sigma = np.sqrt(posterior_variance if variance == "fixed_small" else beta)
    return _table(
        timesteps,
        now,
        prediction,
        mean_from_x0=np.sqrt(before) * beta / (1.0 - now),
        mean_from_x=np.sqrt(1.0 - beta) * (1.0 - before) / (1.0 - now),
        sigma=sigma,
    )


def ddim(schedule: Schedule, timesteps: Integers, *, prediction: Prediction = "eps", eta: float = 0.0) -> StepTable:
    """DDIM, Song et al. 2021, eq. (12) and (16): `eta` 0 is deterministic, 1 is DDPM with the small variance.

    Its eps is written as (x - sqrt(alpha_bar) x0) / sqrt(1 - alpha_bar), that is derived again after x0 was clipped.
    Raises ValueError unless eta lies in [0, 1].
    """
    if not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta must lie in [0, 1], not {eta}")
    now, before = _alpha_bars(schedule, timesteps)
    sigma = eta * np.sqrt((1.0 - before) / (1.0 - now) * (1.0 - now / before))
    mean_from_x = np.sqrt(np.maximum(1.0 - before - sigma**2, 0.0) / (1.0 - now))
    return _table(
        timesteps,
        now,
        prediction,
        mean_from_x0=np.sqrt(before) - mean_from_x * np.sqrt(now),
        mean_from_x=mean_from_x,
        sigma=sigma,
    )


def _alpha_bars(schedule: Schedule, timesteps: Integers) -> tuple[Floats, Floats]:
    """alpha_bar at each timestep and at the one the step goes to; the last step goes to the data, 1."""
    valid = timesteps.ndim == 1 and len(timesteps) and timesteps[0] < len(schedule) and timesteps[-1] >= 0
    if not valid or (np.diff(timesteps) >= 0).any():
        raise ValueError(f"timesteps must descend strictly and lie in [0, {len(schedule) - 1}]")
    now = schedule.alpha_bar[timesteps]
    return now, np.append(now[1:], 1.0)


def _table(
    t: Integers, now: Floats, prediction: Prediction, *, mean_from_x0: Floats, mean_from_x: Floats, sigma: Floats
) -> StepTable:
    """A table without history: how x0 follows from the output, beside how x follows from x0."""
    signal, noise = np.sqrt(now), np.sqrt(1.0 - now)
    zero = np.zeros_like(now)
    forms = {
        "eps": (1.0 / signal, -noise / signal),  # Ho et al., eq. (15)
        "x0": (zero, zero + 1.0),
        "v": (signal, -noise),  # Salimans and Ho 2022, section 4
    }
    if prediction not in forms:
        raise ValueError(f"prediction must be eps, x0 or v, not {prediction!r}")
    sigma = sigma.copy()
    sigma[-1] = 0.0  # the step to the data returns the mean (Ho et al., algorithm 2, line 3)
    x0_from_x, x0_from_out = forms[prediction]
    return StepTable(t, x0_from_x, x0_from_out, mean_from_x0, mean_from_x, zero, zero, sigma)
