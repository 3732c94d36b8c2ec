"""Alternatives to the fits of `ddpm_rt.tune`, for `bench_tune.py`: other histories, other features, another target."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_rt.engine import Engine
from ddpm_rt.requests.request import BoundRequest
from ddpm_rt.samplers import ddim
from ddpm_rt.tune.rows import RIDGE, fitted_row
from ddpm_rt.tune.teacher import TeacherPaths, initial_noise, on_kept
from ddpm_rt.tune.timesteps import inner_products

Floats = NDArray[np.float64]
DIFFERENCE = 3e-3  # of a coefficient, for a derivative: far above float32's rounding, far below the coefficients


@dataclass(frozen=True)
class Variant:
    """The settings of a fit."""

    history: int = 1  # the number of earlier x0
    raw_output: bool = False  # also the network's output, independent of x and x0 where x0 was clipped
    ridge: float = RIDGE
    samples: int | None = None  # fewer than there are


@dataclass
class Found:
    """Fitted rows, and their images of the samples to fit to and of the held-out samples."""

    timesteps: list[int]
    variant: Variant
    rows: list[Floats] = field(default_factory=list)  # coefficients of the features, a row each
    images: Any = None
    held_out_images: Any = None


class Chain:
    """The state of a running request's samples: x, and the features of the next row."""

    def __init__(self, engine: Engine, bound: BoundRequest, variant: Variant, count: int | None = None) -> None:
        self.engine, self.bound, self.variant = engine, bound, variant
        self.samples = bound.request.samples[:count]
        self.x = np.concatenate([initial_noise(bound, engine.card, portion) for portion in bound.batches(self.samples)])
        self.past: list[Any] = []
        self.out: Any = None

    def features(self, t: int) -> list[Any]:
        """Call the network at `t`. Returns the features: x, x0, the earlier x0, and the output if selected."""
        card = self.engine.card
        table = ddim(card.schedule, np.array([t]), prediction=card.prediction)
        outputs = []
        for portion in self.bound.batches(self.samples):
            at = slice(portion[0] - self.samples[0], portion[-1] - self.samples[0] + 1)
            denoise = self.bound.denoiser(self.engine, portion)
            outputs.append(denoise(self.x[at], np.full(len(portion), t, np.int64))[:, : self.x.shape[1]])
        out = np.concatenate(outputs)
        x0 = np.float32(table.x0_from_x[0]) * self.x + np.float32(table.x0_from_out[0]) * out
        x0 = x0 if card.clip is None else np.clip(x0, *card.clip)
        self.past = [x0, *self.past][: self.variant.history + 1]
        return [self.x, *self.past, *([out] if self.variant.raw_output else [])]

    def step(self, features: list[Any], row: Floats) -> None:
        self.x = sum(np.float32(weight) * part for weight, part in zip(row, features, strict=True))


def run_variant(
    engine: Engine,
    fitting: BoundRequest,
    held_out: BoundRequest,
    paths: TeacherPaths,
    path: list[int],
    variant: Variant,
) -> Found:
    """Fit rows along a path of the teacher's grid, and run them on the held-out samples."""
    count = variant.samples or fitting.request.count
    targets = paths.after(path, count)
    found = Found(paths.grid[path].tolist(), variant)
    chain, card = Chain(engine, fitting, variant, count), engine.card
    priors = ddim(card.schedule, paths.grid[path], prediction=card.prediction)
    for number, t in enumerate(found.timesteps):
        features = chain.features(t)
        columns = np.stack([on_kept(card, part).ravel() for part in features]).astype(np.float64)
        products = columns @ columns.T / columns.shape[1]
        with_target = columns @ targets[number].ravel() / columns.shape[1]
        prior = np.zeros(len(features))
        prior[:2] = priors.mean_from_x[number], priors.mean_from_x0[number]
        found.rows.append(fitted_row(products, with_target, prior, variant.ridge))
        chain.step(features, found.rows[-1])
    found.images = chain.x
    found.held_out_images = images_by(engine, held_out, found)
    return found


def images_by(engine: Engine, bound: BoundRequest, found: Found) -> Any:
    """The images of a request's samples with fitted rows."""
    chain = Chain(engine, bound, found.variant)
    for t, row in zip(found.timesteps, found.rows, strict=True):
        chain.step(chain.features(t), row)
    return chain.x


def refined_to_end(
    engine: Engine, fitting: BoundRequest, held_out: BoundRequest, paths: TeacherPaths, found: Found
) -> Found:
    """One round of Gauss-Newton on all coefficients, which minimises the distance to the teacher's final images.

    Derivatives are finite differences. Of several dampings, the one with the smallest distance is kept.
    """
    ends, card = paths.x[-1].ravel().astype(np.float64), engine.card
    base = on_kept(card, found.images).ravel().astype(np.float64)
    places = [(row, column) for row, numbers in enumerate(found.rows) for column in range(len(numbers))]
    slopes = np.empty((len(places), len(base)))
    for number, (row, column) in enumerate(places):
        rows = [numbers.copy() for numbers in found.rows]
        rows[row][column] += DIFFERENCE
        images = images_by(engine, fitting, Found(found.timesteps, found.variant, rows))
        slopes[number] = (on_kept(card, images).ravel() - base) / DIFFERENCE
    products, with_rest = slopes @ slopes.T, slopes @ (ends - base)
    tried = []
    for damping in (1e-3, 1e-2, 1e-1):
        moved = np.linalg.solve(products + damping * np.diag(np.diag(products)), with_rest)
        rows = _moved(found.rows, moved)
        images = images_by(engine, fitting, Found(found.timesteps, found.variant, rows))
        error = float(np.mean((on_kept(card, images).ravel() - ends) ** 2))
        tried.append((error, rows, images))
    _, rows, images = min(tried, key=lambda one: one[0])
    best = Found(found.timesteps, found.variant, rows, images)
    best.held_out_images = images_by(engine, held_out, best)
    return best


def _moved(rows: Sequence[Floats], by: Floats) -> list[Floats]:
    parts = np.split(by, np.cumsum([len(row) for row in rows])[:-1])
    return [row + part for row, part in zip(rows, parts, strict=True)]


def cost_fitted(paths: TeacherPaths) -> Floats:
    """As `step_errors`, for a step with two fitted coefficients: float64 `[G, G + 1]`."""
    points, products = len(paths.grid), inner_products(paths)
    errors = np.full((points, points + 1), np.inf)
    for i in range(points):
        own = [i, points + 1 + i]
        system = products[np.ix_(own, own)] + 1e-9 * np.trace(products[np.ix_(own, own)]) * np.eye(2)
        for j in range(i + 1, points + 1):
            left = products[j, j] - products[own, j] @ np.linalg.solve(system, products[own, j])
            errors[i, j] = np.sqrt(max(left, 0.0))
    return errors
