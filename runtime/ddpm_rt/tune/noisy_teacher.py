"""The teacher of a table with noise: the probability flow between its rows, and the table's own noise after each."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ..artifacts.card import ModelCard
from ..denoiser import Batch, Denoiser
from ..engine import Engine
from ..host_loop import trajectory
from ..requests.request import BoundRequest
from ..samplers import ddim, dpm
from ..samplers.schedule import Floats, Integers, Prediction, Schedule
from ..samplers.table import StepTable, alpha_bars
from .teacher import Called, initial_noise, row_noise


class NoisyRows(NamedTuple):
    """Rows that add noise: to sqrt(1 - sigma^2) times the point that the probability flow reaches at `level`."""

    timesteps: Integers
    sigma: Floats  # [K]; 0 in the last row
    next_level: Floats  # [K]: alpha_bar that each row leads to

    @property
    def level(self) -> Floats:
        """alpha_bar of the point before the noise: sigma^2 of the noise that is due is left out."""
        return np.asarray(self.next_level / (1.0 - self.sigma**2))


def noisy_rows(card: ModelCard, timesteps: Integers, eta: float) -> NoisyRows:
    """The rows of DDIM with this `eta`."""
    _, next_level = alpha_bars(card.schedule, timesteps)
    return NoisyRows(timesteps, ddim(card.schedule, timesteps, prediction=card.prediction, eta=eta).sigma, next_level)


def noisy_steps(
    engine: Engine, bound: BoundRequest, portion: Sequence[int], rows: NoisyRows, grid: Integers, called: Called
) -> Iterator[Batch]:
    """The teacher of a table with noise: x before the noise of each row, float32 `[B, C, H, W]`, the images last.

    Every row follows the probability flow over the timesteps of `grid` that lie within it, then adds the noise that
    the row of the table adds. The chains of both therefore meet the same noise, and can be compared sample by sample.
    """
    card = engine.card
    denoise, x = bound.denoiser(engine, portion), initial_noise(bound, card, portion)
    for row, (t, level) in enumerate(zip(rows.timesteps.tolist(), rows.level.tolist(), strict=True)):
        between = [g for g in grid.tolist() if g < t and card.schedule.alpha_bar[g] < level]
        table = flow_table(card.schedule, [t, *between], level, card.prediction)
        x = np.float32(np.sqrt(1.0 - rows.sigma[row] ** 2)) * _end(denoise, table, card, x, called)
        yield x
        x = x + np.float32(rows.sigma[row]) * row_noise(bound, card, portion, row)


def _end(denoise: Denoiser, table: StepTable, card: ModelCard, x: Batch, called: Called) -> Batch:
    samples = range(len(x))  # their noise is not used: the table has none, and the chain begins at x
    for step in trajectory(denoise, table, card.image_shape, seed=0, samples=samples, clip=card.clip, start=x):
        called()
        end = step.x
    return end


def flow_table(schedule: Schedule, visited: Sequence[int], level: float, prediction: Prediction) -> StepTable:
    """DPM-Solver++(2M) over the timesteps `visited`, that leads to alpha_bar `level` instead of to the data.

    `dpm` leads to the data: the table is that of a schedule of these levels alone, without its last row.
    """
    t = np.array(visited, np.int64)
    if level >= 1.0:
        return dpm(schedule, t, prediction=prediction)
    levels = np.append(schedule.alpha_bar[t], level)[::-1]  # ascends in noise, as a schedule does
    betas = 1.0 - levels / np.append(1.0, levels[:-1])
    table = dpm(Schedule(betas), np.arange(len(levels))[::-1], prediction=prediction)
    columns: list[Any] = [column[:-1] for column in table]
    return StepTable(*columns)._replace(t=t)
