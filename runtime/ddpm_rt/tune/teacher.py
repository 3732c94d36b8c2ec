"""The teacher of a fit: DPM-Solver++(2M) over many timesteps, and its chains for the samples of the fit."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..artifacts.card import ModelCard
from ..denoiser import Batch
from ..engine import Engine
from ..noise import INITIAL_STEP, normal
from ..requests.request import BoundRequest
from ..samplers import dpm
from ..samplers.schedule import Integers, Schedule, logsnr_timesteps, timesteps

KEPT = 4096  # most elements of an image that a fit uses: enough for a few coefficients, and memory stays bounded

Kept = NDArray[np.float32]
Called = Callable[[], object]  # called after every network call


class TeacherPaths(NamedTuple):
    """The teacher's chains of N samples, at the E elements of each image that `kept_elements` selects."""

    grid: Integers  # int64 [G], descending
    x: Kept  # float32 [G + 1, N, E]: x at each timestep of the grid, then the images
    x0: Kept  # float32 [G, N, E]: the clipped x0 of the network at each timestep

    def after(self, path: Sequence[int], count: int) -> Kept:
        """x after each step of `path`, which holds indices into the grid: float32 `[K, count, E]`, images last."""
        return self.x[[*path[1:], len(self.grid)], :count]


def teacher_grid(schedule: Schedule, points: int, wanted: Sequence[int] = ()) -> Integers:
    """At most `points` timesteps and those of `wanted`, int64, descending.

    Half of the points are evenly spaced in log(alpha_bar / (1 - alpha_bar)), which is dense near the data. The others
    are evenly spaced in t, which is dense in the middle. With `wanted` timesteps, the grid starts at the first of them.
    """
    first = wanted[0] if wanted else len(schedule) - 1
    points = min(points, len(schedule))
    even = timesteps(len(schedule), max(1, points // 2), "linspace")
    logsnr = logsnr_timesteps(schedule, max(1, points - points // 2))
    chosen = {*even.tolist(), *logsnr.tolist(), first, 0, *wanted}
    return np.array(sorted((t for t in chosen if t <= first), reverse=True), np.int64)


def kept_elements(card: ModelCard) -> slice:
    """The elements of a flat image that a fit uses: all of a small image, evenly spaced ones of a large image."""
    return slice(None, None, -(-int(np.prod(card.image_shape)) // KEPT))


def on_kept(card: ModelCard, images: Batch) -> Kept:
    """The kept elements of images `[B, C, H, W]`: float32 `[B, E]`."""
    return images.reshape(len(images), -1)[:, kept_elements(card)]


def initial_noise(bound: BoundRequest, card: ModelCard, samples: Sequence[int]) -> Batch:
    """The x_T of `samples`, float32 `[B, C, H, W]`: noise times the initial scale of the request."""
    return np.float32(bound.sampler.initial_scale) * row_noise(bound, card, samples, INITIAL_STEP)


def row_noise(bound: BoundRequest, card: ModelCard, samples: Sequence[int], row: int) -> Batch:
    """The noise that `row` of a table adds to `samples`, float32 `[B, C, H, W]`."""
    size = int(np.prod(card.image_shape))
    return normal(bound.seed, samples, row, size).reshape(len(samples), *card.image_shape)


def teacher_paths(engine: Engine, bound: BoundRequest, grid: Integers, called: Called) -> TeacherPaths:
    """Run the teacher from the noise of the request's samples."""
    card = engine.card
    table = dpm(card.schedule, grid, prediction=card.prediction)
    teacher = replace(bound, sampler=bound.sampler._replace(table=table, clip=card.clip))
    size = len(range(int(np.prod(card.image_shape)))[kept_elements(card)])
    x = np.empty((len(grid) + 1, bound.request.count, size), np.float32)
    x0 = np.empty((len(grid), bound.request.count, size), np.float32)
    for portion in bound.batches(bound.request.samples):
        at = slice(portion[0] - bound.request.first, portion[-1] - bound.request.first + 1)
        x[0, at] = on_kept(card, initial_noise(bound, card, portion))
        for step in teacher.trajectory(engine, portion):
            x[step.row + 1, at], x0[step.row, at] = on_kept(card, step.x), on_kept(card, step.x0)
            called()
    return TeacherPaths(grid, x, x0)
