"""The teacher of a table with noise: it follows the probability flow within a row, then adds the table's own noise."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..artifacts.card import ModelCard
from ..denoiser import Batch, Denoiser
from ..engine import Engine
from ..host_loop import Beginning, trajectory
from ..requests.request import BoundRequest
from ..samplers import ddim, dpm
from ..samplers.schedule import Floats, Integers, Prediction, Schedule, betas_of
from ..samplers.table import StepTable, alpha_bars
from .teacher import Called, initial_noise, row_noise


class NoisyRows(NamedTuple):
    """Rows that add noise. A row ends at sqrt(1 - sigma^2) x + sigma z; the probability flow reaches x at `level`."""

    timesteps: Integers
    sigma: Floats  # [K]; 0 in the last row
    next_level: Floats  # [K]: alpha_bar after each row, with its noise

    @property
    def level(self) -> Floats:
        """alpha_bar [K] of x before the row adds its noise: next_level / (1 - sigma^2)."""
        return np.asarray(self.next_level / (1.0 - self.sigma**2))


def noisy_rows(card: ModelCard, timesteps: Integers, eta: float) -> NoisyRows:
    """The rows of DDIM with `eta`."""
    _, next_level = alpha_bars(card.schedule, timesteps)
    return NoisyRows(timesteps, ddim(card.schedule, timesteps, prediction=card.prediction, eta=eta).sigma, next_level)


def noisy_steps(
    engine: Engine, bound: BoundRequest, portion: Sequence[int], rows: NoisyRows, grid: Integers, called: Called
) -> Iterator[Batch]:
    """Run the teacher of a table with noise. Yields x `[B, C, H, W]` of each row before its noise, the images last.

    Each row follows the probability flow over the timesteps of `grid` within the row, then adds the same noise as the
    row of the table. Teacher and table can therefore be compared sample by sample.
    """
    card = engine.card
    denoise, x = bound.denoiser(engine, portion), initial_noise(bound, card, portion)
    for row, (t, level) in enumerate(zip(rows.timesteps.tolist(), rows.level.tolist(), strict=True)):
        between = [g for g in grid.tolist() if g < t and card.schedule.alpha_bar[g] < level]
        table = flow_table(card.schedule, [t, *between], level, card.prediction)
        x = np.float32(np.sqrt(1.0 - rows.sigma[row] ** 2)) * _last_x(denoise, table, card, x, called)
        yield x
        x = x + np.float32(rows.sigma[row]) * row_noise(bound, card, portion, row)


def _last_x(denoise: Denoiser, table: StepTable, card: ModelCard, x: Batch, called: Called) -> Batch:
    samples = range(len(x))  # only their number matters: the table adds no noise, and the chain starts at x
    for step in trajectory(
        denoise, table, card.image_shape, seed=0, samples=samples, clip=card.clip, begin=Beginning(x)
    ):
        called()
        last = step.x
    return last


def flow_table(schedule: Schedule, visited: Sequence[int], level: float, prediction: Prediction) -> StepTable:
    """DPM-Solver++(2M) over the timesteps `visited`, which ends at alpha_bar `level` instead of at the data.

    `dpm` always ends at the data. So this function makes a schedule of only these levels, and drops the last row of its
    table.
    """
    t = np.array(visited, np.int64)
    if level >= 1.0:
        return dpm(schedule, t, prediction=prediction)
    levels = np.append(schedule.alpha_bar[t], level)[::-1]  # from low to high noise, as in a schedule
    table = dpm(Schedule(betas_of(levels)), np.arange(len(levels))[::-1], prediction=prediction)
    columns: list[Any] = [column[:-1] for column in table]
    return StepTable(*columns)._replace(t=t)
