"""DDIM (Song et al. 2021), from deterministic to ancestral by `eta`, and the two Euler samplers, which equal DDIM."""

import numpy as np

from .process import Process
from .schedule import Integers, Levels, Prediction
from .table import StepTable, alpha_bars, assemble, form


def ddim(
    schedule: Process,
    timesteps: Levels,
    *,
    prediction: Prediction = "eps",
    eta: float = 0.0,
    raw_eps: bool = False,
    leads_to: Integers | None = None,
) -> StepTable:
    """Song et al., eq. (12) and (16): `eta` 0 is deterministic, 1 is DDPM with the small variance.

    eps is (x - sqrt(alpha_bar) x0) / sqrt(1 - alpha_bar), derived again from the clipped x0. With `raw_eps`, eps
    follows from the network's output and ignores the clip. `leads_to` gives the timestep that each step leads to (-1 is
    the data); the default is the next of `timesteps`. Raises ValueError unless eta lies in [0, 1].
    """
    if not 0.0 <= eta <= 1.0:
        raise ValueError(f"eta must lie in [0, 1], not {eta}")
    now, before = alpha_bars(schedule, timesteps, leads_to)
    sigma = eta * np.sqrt((1.0 - before) / (1.0 - now) * (1.0 - now / before))
    mean_from_eps = np.sqrt(np.maximum(1.0 - before - sigma**2, 0.0))
    if raw_eps:
        eps = form(now, prediction)
        columns = {
            "mean_from_x0": np.sqrt(before),
            "mean_from_x": mean_from_eps * eps.eps_from_x,
            "mean_from_out": mean_from_eps * eps.eps_from_out,
        }
    else:
        mean_from_x = mean_from_eps / np.sqrt(1.0 - now)
        columns = {"mean_from_x0": np.sqrt(before) - mean_from_x * np.sqrt(now), "mean_from_x": mean_from_x}
    return assemble(timesteps, now, prediction, **columns, sigma=sigma)


def euler(schedule: Process, timesteps: Levels, *, prediction: Prediction = "eps") -> StepTable:
    """Euler's method on the probability flow ODE, Karras et al. 2022, algorithm 1 without churn.

    The method updates x' = x / sqrt(alpha_bar) at s = sqrt((1 - alpha_bar) / alpha_bar): x' + (s_next - s) eps.
    Multiplied by sqrt(alpha_bar_next), the update is sqrt(alpha_bar_next) x0 + sqrt(1 - alpha_bar_next) eps, which is
    DDIM with eta 0.
    """
    return ddim(schedule, timesteps, prediction=prediction)


def euler_ancestral(schedule: Process, timesteps: Levels, *, prediction: Prediction = "eps") -> StepTable:
    """An Euler step to s_down, then noise of deviation s_up, which raises the noise level to s_next.

    s_up^2 = s_next^2 (s^2 - s_next^2) / s^2, and s_down^2 = s_next^2 - s_up^2. Multiplied by sqrt(alpha_bar_next), s_up
    is DDIM's sigma with eta 1, so both samplers have the same step table.
    """
    return ddim(schedule, timesteps, prediction=prediction, eta=1.0)
