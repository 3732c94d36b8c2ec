"""A model as a fit sees it: as a DDPM, whatever the process of the model.

A process of noise levels, or a flow, is a DDPM's state times a factor (`samplers.process`). So the teacher's levels
become the timesteps of a DDPM, and an engine of the model becomes one of that DDPM. A fitted table is turned back into
one for the network at the end.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..denoiser import Batch, Inputs, Times, arguments_of
from ..engine import Engine
from ..requests.request import BoundRequest
from ..samplers.compiled_sampler import CompiledSampler
from ..samplers.continuous import FlowProcess, Levelled, SigmaProcess
from ..samplers.network_table import network_table
from ..samplers.process import initial_scale
from ..samplers.schedule import Floats, Integers, betas_of
from ..samplers.table import StepTable, alpha_bars
from .settings import Tuning
from .teacher import teacher_grid

LEAST_RATIO, MOST_RATIO = 0.01, 100.0  # of noise to signal, between which half of a flow's levels lie
GAP = 0.02  # least distance of two levels in log(noise / signal): a solver's history divides by it


class DdpmView(NamedTuple):
    """An engine as one of a DDPM with `len(card.betas)` timesteps, and which of these a fit uses, int64 each."""

    engine: Engine  # of a DDPM; the engine itself where the model's process is one of betas
    grid: Integers  # the teacher's timesteps, descending
    wanted: Integers  # those that the user listed
    levels: Floats | None  # of the model's process, by timestep; None for a process of betas
    process: Levelled | None
    prediction: Any  # of the network

    def bound(self, request: BoundRequest) -> BoundRequest:
        """A request for the model as one for `engine`: its chains begin where those of the model begin."""
        sampler = request.sampler
        if self.levels is not None:
            beginning = np.sqrt(1.0 - self.engine.card.schedule.alpha_bar[self.grid[0]])
            sampler = sampler._replace(initial_scale=float(beginning))
        return replace(request, card=self.engine.card, sampler=sampler)

    def visited(self, timesteps: Integers) -> list[Any]:
        """The timesteps as the user lists them: those of betas, sigmas, or times of the flow."""
        listed: list[Any] = (timesteps if self.levels is None else self.levels[timesteps]).tolist()
        return listed

    def sampler(self, table: StepTable, name: str) -> CompiledSampler:
        """A table of the DDPM for the network."""
        card = self.engine.card
        if self.levels is None or self.process is None:
            return CompiledSampler(table, card.clip, name)
        levels = self.levels[table.t]
        rows = network_table(table, self.process, levels, self.prediction)
        return CompiledSampler(rows, card.clip, name, initial_scale(self.process, levels[0], self.prediction))


def ddpm_view_of(engine: Engine, tuning: Tuning) -> DdpmView:
    """The view for the settings of a fit. Raises ValueError for timesteps that the model lacks."""
    card, listed = engine.card, tuning.timesteps or ()
    if card.process is None:
        wanted = np.array(listed, np.int64)
        if (wanted != np.array(listed)).any():
            raise ValueError("a table is fitted over whole timesteps")
        if len(wanted):
            alpha_bars(card.schedule, wanted)  # raises unless they descend within the schedule
        grid = teacher_grid(card.schedule, tuning.teacher_calls, wanted.tolist())
        return DdpmView(engine, grid, wanted, None, None, card.prediction)
    if listed:
        card.process.check_levels(np.array(listed, np.float64))
    levels = level_grid(card.process, tuning.teacher_calls, listed)[::-1]
    own = OfLevels(engine, card.process, levels)
    wanted = np.flatnonzero(np.isin(levels, listed))[::-1]
    return DdpmView(own, np.arange(len(levels))[::-1], wanted, levels, card.process, card.prediction)


class OfLevels(Engine):
    """An engine of `process` as that of a DDPM, whose timestep t is the level `levels[t]`, ascending."""

    def __init__(self, engine: Engine, process: Levelled, levels: Floats) -> None:
        card = engine.card
        self._engine, self._times = engine, process.time_at(levels)
        self._scale = process.scale_at(levels, card.prediction).astype(np.float32)
        self._x0_from = process.x0_from(levels, card.prediction)
        betas = betas_of(process.alpha_bar_at(levels))
        prediction = card.prediction if self._x0_from is None else "x0"
        self.card = replace(card, betas=tuple(betas.tolist()), process=None, prediction=prediction, spacing="trailing")

    def __call__(
        self, x: Batch, t: Times, y: NDArray[np.int64] | None = None, inputs: Inputs | None = None, /
    ) -> Batch:
        each = (-1, *[1] * (x.ndim - 1))
        x = self._scale[t].reshape(each) * x
        out = self._engine(x, self._times[t], *arguments_of(y, inputs))
        if self._x0_from is None:
            return out
        from_x, from_out = (column[t].astype(np.float32).reshape(each) for column in self._x0_from)
        return np.asarray(from_x * x + from_out * out)


def level_grid(process: Levelled, points: int, wanted: Sequence[float] = ()) -> Floats:
    """About `points` levels and those of `wanted`, float64, descending.

    Half of them have the spacing of the process, and the others are evenly spaced in log(noise / signal). With `wanted`
    levels, the grid starts at the first of them. Two levels are `GAP` or more apart, unless they are wanted.
    """
    first = float(wanted[0]) if wanted else process.ends()[0]
    found = [float(level) for level in wanted] or [first]
    for level in _candidates(process, points).tolist():
        with np.errstate(divide="ignore", invalid="ignore"):
            near = np.abs(_log_ratio(process, found) - _log_ratio(process, [level])) < GAP
        if level < first and not near.any():
            found.append(level)
    return np.array(sorted(found, reverse=True))


def _candidates(process: Levelled, points: int) -> Floats:
    half = max(1, points // 2)
    if isinstance(process, SigmaProcess):
        return np.append(process.spaced(half, "karras"), process.spaced(max(1, points - half), "logsnr"))
    assert isinstance(process, FlowProcess)
    ratio = np.geomspace(MOST_RATIO, LEAST_RATIO, max(1, points - half))
    return np.append(process.spaced(half, "trailing"), ratio / (1.0 + ratio))


def _log_ratio(process: Levelled, levels: Sequence[float]) -> Floats:
    alpha_bar = process.alpha_bar_at(np.array(levels))
    return np.asarray(0.5 * (np.log(1.0 - alpha_bar) - np.log(alpha_bar)))
