"""The step table: one row of coefficients per reverse step. `host_loop.py` and `device/` run it.

The functions below are shared by the samplers of this folder.
"""

from typing import NamedTuple

import numpy as np

from .process import Process
from .schedule import Floats, Integers, Levels, Prediction


class StepTable(NamedTuple):
    """One row per reverse step. The columns are the coefficients of the loop's two updates, float64 `[steps]`.

    x0     = clip(x0_from_x * x + x0_from_out * out)
    x_next = mean_from_x0 * x0 + mean_from_x * x + mean_from_out * out + mean_from_prev_x0 * prev_x0
             + sigma * exp(log_sigma_from_spread * spread) * z

    `out` is the first C channels of the network's output. `spread` is the second C channels, which only a network with
    a learned variance has; for all others, `log_sigma_from_spread` is 0.
    """

    t: Levels  # the time given to the network: int64, or float64 where one is fractional
    x0_from_x: Floats
    x0_from_out: Floats
    mean_from_x0: Floats
    mean_from_x: Floats
    mean_from_out: Floats
    mean_from_prev_x0: Floats  # of the previous row's x0: multistep solvers
    sigma: Floats
    log_sigma_from_spread: Floats

    @property
    def steps(self) -> int:
        """The number of rows, which is the number of network calls."""
        return len(self.t)


class Form(NamedTuple):
    """The coefficients of x0 = x0_from_x x + x0_from_out out and eps = eps_from_x x + eps_from_out out, float64."""

    x0_from_x: Floats
    x0_from_out: Floats
    eps_from_x: Floats
    eps_from_out: Floats


def form(alpha_bar: Floats, prediction: Prediction) -> Form:
    """The form of `prediction` at each alpha_bar. Raises ValueError for eps where an alpha_bar is 0."""
    signal, noise = np.sqrt(alpha_bar), np.sqrt(1.0 - alpha_bar)
    zero, one = np.zeros_like(signal), np.ones_like(signal)
    if prediction == "eps":  # Ho et al., eq. (15)
        if not signal.all():
            raise ValueError("a predicted eps cannot give x0 where alpha_bar is 0; start at an earlier timestep")
        return Form(1.0 / signal, -noise / signal, zero, one)
    if prediction == "x0":
        return Form(zero, one, 1.0 / noise, -signal / noise)
    if prediction == "v":  # Salimans and Ho 2022, section 4
        return Form(signal, -noise, noise, signal)
    raise ValueError(f"prediction must be eps, x0 or v, not {prediction!r}")


def alpha_bars(process: Process, levels: Levels, leads_to: Integers | None = None) -> tuple[Floats, Floats]:
    """alpha_bar at each level, and at the level that its step leads to, each `[steps]`.

    By default a step leads to the next level, and the last step to the data, where alpha_bar is 1. `leads_to` gives
    timesteps instead; there, -1 is the data. Raises ValueError unless the levels descend strictly and lie inside the
    process.
    """
    process.check_levels(levels)
    now, data = process.alpha_bar_at(levels), process.precision(1.0)
    if leads_to is None:
        return now, np.append(now[1:], data)
    return now, np.where(leads_to < 0, data, process.alpha_bar_at(np.maximum(leads_to, 0)))


def assemble(timesteps: Levels, alpha_bar: Floats, prediction: Prediction, **columns: Floats) -> StepTable:
    """A step table in float64 from the columns of x_next; a column that is not given is 0."""
    of_x0 = form(alpha_bar, prediction)
    columns |= {"x0_from_x": of_x0.x0_from_x, "x0_from_out": of_x0.x0_from_out}
    zero = np.zeros(len(timesteps))
    rest = (np.asarray(columns.pop(name, zero), np.float64) for name in StepTable._fields[1:])
    table = StepTable(timesteps, *rest)
    assert not columns, columns
    return table


def check_table(table: StepTable) -> None:
    """Raises ValueError unless float32, in which the loop runs, can hold every coefficient."""
    with np.errstate(over="ignore", invalid="ignore"):
        finite = np.isfinite(np.stack(table[1:]).astype(np.float32)).all(axis=0)
    if not finite.all():
        t = table.t[finite.argmin()]
        raise ValueError(
            f"the betas give a step table that is not finite in float32 at t = {t}: they are too small or too close to"
            " 1 there; choose other timesteps, or correct the betas of the model"
        )
