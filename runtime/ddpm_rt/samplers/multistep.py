"""DPM-Solver++(2M) and its SDE form, Lu et al. 2022 (arXiv 2211.01095): second order, one network call per step."""

import numpy as np

from .process import Process
from .schedule import Floats, Levels, Prediction
from .table import StepTable, alpha_bars, assemble


def dpm(schedule: Process, timesteps: Levels, *, prediction: Prediction = "eps") -> StepTable:
    """Algorithm 2 with the data prediction x0, where D = x0 + (h / 2 h_prev) (x0 - prev_x0).

    h is the step in lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)). The first step has no history, and the last
    step leads to infinite lambda. Both are first order, which is DDIM with eta 0.
    """
    now, before = alpha_bars(schedule, timesteps)
    h = _steps_in_lambda(now, before)
    gain, history = np.sqrt(before) * -np.expm1(-h), _history(h)
    return assemble(
        timesteps,
        now,
        prediction,
        mean_from_x0=gain * (1.0 + history),
        mean_from_x=np.sqrt(1.0 - before) / np.sqrt(1.0 - now),
        mean_from_prev_x0=-gain * history,
    )


def dpm_sde(schedule: Process, timesteps: Levels, *, prediction: Prediction = "eps") -> StepTable:
    """SDE-DPM-Solver++(2M), appendix: `dpm` for the reverse SDE. Its first-order steps are DDIM with eta 1."""
    now, before = alpha_bars(schedule, timesteps)
    h = _steps_in_lambda(now, before)
    gain, history = np.sqrt(before) * -np.expm1(-2.0 * h), _history(h)
    return assemble(
        timesteps,
        now,
        prediction,
        mean_from_x0=gain * (1.0 + history),
        mean_from_x=np.sqrt(1.0 - before) / np.sqrt(1.0 - now) * np.exp(-h),
        mean_from_prev_x0=-gain * history,
        sigma=np.sqrt(1.0 - before) * np.sqrt(-np.expm1(-2.0 * h)),
    )


def _steps_in_lambda(now: Floats, before: Floats) -> Floats:
    """h of each step. A step from alpha_bar 0 or to alpha_bar 1 has infinite h."""
    with np.errstate(divide="ignore"):
        lambdas = [np.log(np.sqrt(level)) - np.log(np.sqrt(1.0 - level)) for level in (now, before)]
    return np.asarray(lambdas[1] - lambdas[0])


def _history(h: Floats) -> Floats:
    """h / (2 h_prev), the weight of x0 - prev_x0; 0 in the first-order steps."""
    history = np.zeros_like(h)
    history[1:-1] = h[1:-1] / (2.0 * h[:-2])
    return history
