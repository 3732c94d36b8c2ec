"""Ancestral sampling: the reverse process of Ho et al. 2020, with a fixed or learned variance."""

from typing import get_args

import numpy as np

from .schedule import Floats, Integers, Prediction, Schedule, Variance
from .table import StepTable, alpha_bars, assemble

LEAST_VARIANCE = 1e-20  # a floor: the posterior variance is 0 in the step to the data, and its logarithm is needed


def ddpm(
    schedule: Schedule,
    timesteps: Integers,
    *,
    prediction: Prediction = "eps",
    variance: Variance = "fixed_small",
    last_noise: bool = False,
) -> StepTable:
    """The step table of Ho et al. 2020, eq. (7) and section 3.2, over any descending `timesteps`.

    On a subset of the timesteps, the betas are those of the respaced process, 1 - alpha_bar_t / alpha_bar_prev
    (Nichol and Dhariwal 2021, eq. 19). fixed_small is the posterior variance, fixed_large is beta.
    The last step returns the mean without noise (algorithm 2, line 3). With `last_noise` it adds noise, unless its
    timestep is 0. Raises ValueError for an unknown prediction or variance.
    """
    now, before = alpha_bars(schedule, timesteps)
    alpha = now / before
    beta = 1.0 - alpha
    sigma, log_sigma_from_spread = _sigma((1.0 - before) / (1.0 - now) * beta, beta, variance)
    if not last_noise or timesteps[-1] == 0:
        sigma[-1] = 0.0
    return assemble(
        timesteps,
        now,
        prediction,
        mean_from_x0=np.sqrt(before) * beta / (1.0 - now),
        mean_from_x=np.sqrt(alpha) * (1.0 - before) / (1.0 - now),
        sigma=sigma,
        log_sigma_from_spread=log_sigma_from_spread,
    )


def _sigma(small: Floats, large: Floats, variance: Variance) -> tuple[Floats, Floats]:
    """sigma and log_sigma_from_spread of each step, from its smallest and its largest variance."""
    zero = np.zeros_like(small)
    if variance == "fixed_small":
        return np.sqrt(small), zero
    if variance == "fixed_large":
        return np.sqrt(large), zero
    if variance == "learned":  # the spread is the logarithm of the variance
        return zero + 1.0, zero + 0.5
    if variance == "learned_range":  # log-linear between both, spread -1 is small and 1 is large: ibid., eq. 15
        low, high = np.log(np.maximum(small, LEAST_VARIANCE)), np.log(large)
        return np.exp((low + high) / 4.0), (high - low) / 4.0
    raise ValueError(f"variance must be {', '.join(get_args(Variance))}, not {variance!r}")
