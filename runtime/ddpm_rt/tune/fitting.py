"""Fit a table to one engine: run the teacher, choose timesteps, fit coefficients, measure the table."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from ..artifacts.card import ModelCard
from ..denoiser import Batch
from ..engine import Engine
from ..requests.labels import as_labels
from ..requests.request import BoundRequest
from ..requests.sampler_options import SamplerOptions
from ..samplers import FITTED, ddim, dpm, dpm_sde
from ..samplers.compiled_sampler import CompiledSampler
from ..samplers.schedule import Integers, Spacing
from ..text import printable
from .ddpm_view import DdpmView, ddpm_view_of
from .held_out import Distances, distances_to_teacher, final_images
from .noisy_teacher import NoisyRows, noisy_rows, noisy_steps
from .provenance import Fit, RanOn
from .rows import fit_rows
from .search import Points, improved_path
from .settings import Tuning
from .teacher import Called, Kept, TeacherPaths, on_kept, teacher_paths
from .timesteps import cheapest_path, step_errors

Progress = Callable[[str], object]  # called after each network call with the name of the stage


class Fitted(NamedTuple):
    """A table fitted to an engine."""

    sampler: CompiledSampler
    fit: Fit
    distances: Distances  # on the held-out samples


def tune(engine: Engine, tuning: Tuning, ran_on: RanOn, progress: Progress = lambda stage: None) -> Fitted:
    """Fit a table to `engine`; `ran_on` describes the engine.

    The result is an ordinary table: `write_steps` writes it, and every loop runs it. Raises ValueError for timesteps,
    labels or guidance that the model does not allow, DdpmRtError if the network's output is not finite.
    """
    view = ddpm_view_of(engine, tuning)
    card, grid = view.engine.card, view.grid
    held_out = tuning.measured_on(engine.card)
    bound = view.bound(tuning.fitting_to(engine.card))
    paths = teacher_paths(view.engine, bound, grid, lambda: progress("teacher"))
    if len(view.wanted):
        path = points_of(grid, view.wanted)
    else:
        path = chosen_path(view.engine, bound, paths, tuning.count, progress)
    rows = noisy_rows(card, grid[path], tuning.eta)
    if tuning.eta:
        targets = noisy_targets(view.engine, bound, rows, grid, lambda: progress("teacher"))
    else:
        targets = paths.after(path, bound.request.count)
    del paths  # frees the largest array
    table, _ = fit_rows(view.engine, bound, grid[path], targets, eta=tuning.eta, called=lambda: progress("rows"))
    fitted = view.sampler(table, FITTED)
    samplers = {**compared(engine.card, tuning, view, grid[path]), FITTED: fitted}

    def called() -> None:
        progress("held-out samples")

    def teacher(samples: Sequence[int]) -> Batch:
        if tuning.eta:
            *_, images = noisy_steps(view.engine, view.bound(held_out), samples, rows, grid, called)
            return images
        dense = view.sampler(dpm(card.schedule, grid, prediction=card.prediction), "dpm++")
        return final_images(engine, held_out, samples, dense, called)

    distances = distances_to_teacher(engine, held_out, teacher, samplers, called)
    fit = fit_of(tuning, bound, held_out, view.visited(grid[path]), len(grid), distances, ran_on)
    return Fitted(fitted._replace(sampler=fit.describe()), fit, distances)


def points_of(grid: Integers, timesteps: Integers) -> Points:
    """The positions of `timesteps` in `grid`, which contains all of them."""
    return [int(point) for point in np.flatnonzero(np.isin(grid, timesteps))]


def chosen_path(engine: Engine, bound: BoundRequest, paths: TeacherPaths, calls: int, progress: Progress) -> Points:
    """The points of the teacher's grid that a table of `calls` rows visits."""
    cheapest = cheapest_path(step_errors(paths, engine.card.schedule), calls)
    return improved_path(engine, bound, paths, cheapest.tolist(), lambda: progress("timesteps"))


def noisy_targets(engine: Engine, bound: BoundRequest, rows: NoisyRows, grid: Integers, called: Called) -> Kept:
    """The target x of each row, before the row adds noise: float32 `[K, N, E]`."""
    portions = []
    for portion in bound.batches(bound.request.samples):
        steps = noisy_steps(engine, bound, portion, rows, grid, called)
        portions.append(np.stack([on_kept(engine.card, x) for x in steps]))
    return np.concatenate(portions, axis=1)


def compared(card: ModelCard, tuning: Tuning, view: DdpmView, timesteps: Integers) -> dict[str, CompiledSampler]:
    """The baselines of a fitted table for the model of `card`, by name; each makes the same number of network calls.

    The baselines are the samplers of `sample --sampler`. If the fitted table adds noise, or if the user chose the
    timesteps, the baselines use the table's timesteps: only then do all chains add the same noise or start at the same
    level.
    """
    if tuning.eta:
        schedule, prediction = view.engine.card.schedule, view.engine.card.prediction
        noisy = {f"ddim eta {tuning.eta}": ddim(schedule, timesteps, prediction=prediction, eta=tuning.eta)}
        if tuning.eta == 1.0:
            noisy["dpm++sde"] = dpm_sde(schedule, timesteps, prediction=prediction)
        return {name: view.sampler(table, name) for name, table in noisy.items()}
    first = "ddim" if card.process is None else "euler"  # the same table, by the name that a process of levels uses
    if tuning.timesteps is not None:
        listed = view.visited(timesteps)
        return {name: SamplerOptions(sampler=name, timesteps=listed).compile(card) for name in (first, "dpm++")}
    spacing: Spacing = "trailing" if card.forward_process.kind == "flow" else "logsnr"
    return {
        first: SamplerOptions(sampler=first, steps=tuning.count).compile(card),
        f"dpm++ {spacing}": SamplerOptions(sampler="dpm++", steps=tuning.count, spacing=spacing).compile(card),
    }


def fit_of(
    tuning: Tuning, bound: BoundRequest, held_out: BoundRequest, timesteps: Sequence[float], teacher_calls: int,
    distances: Distances, ran_on: RanOn,
) -> Fit:  # fmt: skip
    """The description of a finished fit."""
    return Fit(
        timesteps=timesteps,
        eta=tuning.eta,
        label=as_labels(bound.request.label),
        guidance=bound.guidance,
        inputs=printable(bound.request.given_inputs.describe()),
        teacher_calls=teacher_calls,
        seed=bound.seed,
        samples=bound.request.count,
        held_out_seed=held_out.seed,
        held_out=held_out.request.count,
        errors=distances.rms,
        ran_on=ran_on,
    )
