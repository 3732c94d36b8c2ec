"""Compare the choices of `ddpm_rt.tune` in fitting a step table with their alternatives, on held-out samples.

    python scripts/bench_tune.py --engine unet.onnx --calls 6 > benchmarks/tune-unet.txt

Every line is a table with the same number of calls. Its figures are distances to the images of a reference
(DPM-Solver++(2M) with `--reference-calls`) from the same noise, on samples that no fit has used: the root mean square
over all images, which depends mostly on the few samples that become another image, and the median over images.

With `--data mnist.npz`, the part `frechet` draws 512 samples of seed 0 with some of the tables, for a model of MNIST,
and prints their Frechet distance to the test set, as in `evaluate.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
from tune_variants import Variant, cost_fitted, images_by, refined_to_end, run_variant

import ddpm_rt
from ddpm_rt.engine import Engine
from ddpm_rt.images.write import to_pixels
from ddpm_rt.requests.sampler_options import SamplerOptions
from ddpm_rt.samplers import dpm
from ddpm_rt.samplers.schedule import logsnr_timesteps, timesteps
from ddpm_rt.tune import Tuning
from ddpm_rt.tune.held_out import final_images
from ddpm_rt.tune.search import improved_path
from ddpm_rt.tune.teacher import TeacherPaths, teacher_grid, teacher_paths
from ddpm_rt.tune.timesteps import cheapest_path, step_errors

Images = Any  # float32 [N, C, H, W]


class Bench:
    """An engine, the samples to fit to, the samples to measure on, and the reference images of the latter."""

    def __init__(self, engine: Engine, calls: int, samples: int, held_out: int, batch: int, reference: int) -> None:
        self.engine, self.card, self.calls = engine, engine.card, calls
        tuning = Tuning(calls=calls, samples=samples, held_out=held_out, batch=batch, teacher_calls=reference)
        self.fitting, self.held_out = tuning.fitting_to(self.card), tuning.measured_on(self.card)
        self.reference = self.drawn_by(self.dpm(teacher_grid(self.card.schedule, reference)))

    def dpm(self, visited: Any) -> Any:
        return dpm(self.card.schedule, np.asarray(visited), prediction=self.card.prediction)

    def drawn_by(self, table: Any) -> Images:
        """The images of the held-out samples with one step table."""
        compiled = SamplerOptions(steps=1).compile(self.card)._replace(table=table)
        portions = self.held_out.batches(self.held_out.request.samples)
        return np.concatenate(
            [final_images(self.engine, self.held_out, portion, compiled, lambda: None) for portion in portions]
        )

    def teacher(self, grid: Any) -> TeacherPaths:
        """The teacher's paths for the samples to fit to."""
        return teacher_paths(self.engine, self.fitting, np.asarray(grid), lambda: None)

    def line(self, name: str, images: Images, visited: Sequence[int] = ()) -> None:
        """Print one figure."""
        each = np.sqrt(np.mean(np.square(images - self.reference, dtype=np.float64), axis=(1, 2, 3)))
        whole = float(np.sqrt(np.mean(each**2)))
        click.echo(f"{name:<44} {whole:8.4f} {np.median(each):8.4f}  {' '.join(map(str, visited))}")

    def fitted(self, name: str, paths: TeacherPaths, path: Sequence[int], **variant: Any) -> None:
        """Print the figures of a step table fitted along a path."""
        found = run_variant(self.engine, self.fitting, self.held_out, paths, list(path), Variant(**variant))
        self.line(name, found.held_out_images, paths.grid[list(path)].tolist())


def baselines(bench: Bench) -> None:
    """The baselines: standard samplers with as many calls, and with more."""
    schedule, calls = bench.card.schedule, bench.calls
    for name, steps in (("ddim", calls), ("dpm++", calls), ("ddim", 50), ("dpm++", 20)):
        spacing = "logsnr" if name == "dpm++" else bench.card.spacing
        table = SamplerOptions(sampler=name, steps=steps, spacing=spacing).compile(bench.card).table
        bench.line(f"{name}, {spacing}, {steps} calls", bench.drawn_by(table))
    bench.line("reference's own error: half as many calls", bench.drawn_by(bench.dpm(logsnr_timesteps(schedule, 60))))


def path_costs(bench: Bench, paths: TeacherPaths, searched: Sequence[int]) -> None:
    """The cost function of a step, which the path through the teacher's timesteps minimises."""
    errors, calls = step_errors(paths, bench.card.schedule), bench.calls
    found = {"RMS of a DDIM step": cheapest_path(errors, calls)}
    found["its square"] = cheapest_path(errors**2, calls)
    for factor in (0.85, 1.15):  # GITS weighs later steps less, or amplifies earlier errors
        found[f"RMS, earlier steps weigh {factor} a step"] = cheapest_path(errors, calls, factor)
    ends = np.append(bench.card.schedule.alpha_bar[paths.grid], 1.0)
    found["RMS, in the noise level that it leads to"] = cheapest_path(errors / np.sqrt(1.0 - ends + 1e-2), calls)
    found["RMS, in the signal that it leads to"] = cheapest_path(errors * np.sqrt(ends), calls)
    found["RMS of a step fitted with x, x0"] = cheapest_path(cost_fitted(paths), calls)
    for name, path in found.items():
        bench.fitted(f"cost: {name}", paths, path.tolist())
    bench.fitted("cost: RMS of a DDIM step, then the search", paths, searched)


def rows(bench: Bench, paths: TeacherPaths, path: Sequence[int]) -> None:
    """The features of a row's fit, and the number of samples."""
    for history in (0, 1, 2, 3):
        bench.fitted(f"rows: x, x0 and {history} before", paths, path, history=history)
    bench.fitted("rows: x, x0, 1 before and the raw output", paths, path, raw_output=True)
    for ridge in (0.0, 1e-5, 1e-3, 1e-2):
        bench.fitted(f"rows: ridge {ridge:g}", paths, path, ridge=ridge)
    for count in (4, 8, 16, 32):
        if count < bench.fitting.request.count:
            bench.fitted(f"rows: fitted to {count} samples", paths, path, samples=count)


def targets(bench: Bench, paths: TeacherPaths, path: Sequence[int]) -> None:
    """The target of the fit: the teacher's point after each row, or only its final images."""
    bench.fitted("target: the teacher's point after each row", paths, path)
    variant = Variant()
    start = run_variant(bench.engine, bench.fitting, bench.held_out, paths, list(path), variant)
    for rounds in (1, 2):
        start = refined_to_end(bench.engine, bench.fitting, bench.held_out, paths, start)
        bench.line(f"target: the end, Gauss-Newton, {rounds} rounds", start.held_out_images)


def grids(bench: Bench) -> None:
    """The teacher's length and timesteps; the path is the cheapest one, without the search."""
    schedule, count = bench.card.schedule, len(bench.card.betas)
    spaced: dict[str, Callable[[int], Any]] = {
        "half logsnr, half even in t": lambda points: teacher_grid(schedule, points),
        "logsnr": lambda points: logsnr_timesteps(schedule, points),
        "even in t": lambda points: timesteps(count, points, "linspace"),
    }
    for points in (20, 30, 60, 100):
        for name, grid in spaced.items():
            if points == 60 or name.startswith("half"):
                paths = bench.teacher(grid(points))
                path = cheapest_path(step_errors(paths, schedule), bench.calls)
                bench.fitted(f"teacher: {points} calls, {name}", paths, path.tolist())


def frechet(bench: Bench, paths: TeacherPaths, cheapest: Sequence[int], searched: Sequence[int], data: Path) -> None:
    """The distance of whole sets of samples to the MNIST test set."""
    from evaluate import Judge, Mnist

    judge = Judge(Mnist.load(data))
    label = bench.fitting.request.label
    drawn = replace(bench.fitting.request, seed=0, first=0, count=512, label=label).bind(bench.card)
    for name, path in (("no search", cheapest), ("search", searched)):
        for history in (1, 2):
            variant = Variant(history=history)
            found = run_variant(bench.engine, bench.fitting, bench.held_out, paths, list(path), variant)
            images = to_pixels(images_by(bench.engine, drawn, found))[..., 0]
            click.echo(f"{f'frechet: {name}, {history} before':<44} {judge.distance(images):8.2f} {'':>8}  "
                       f"{' '.join(map(str, found.timesteps))}")  # fmt: skip


@click.command()
@click.option("--engine", type=click.Path(exists=True, path_type=Path), help="[default: the bundled model]")
@click.option("--calls", default=6, show_default=True)
@click.option("--samples", default=48, show_default=True, help="Samples to fit tables to.")
@click.option("--held-out", default=48, show_default=True, help="Samples to measure tables on.")
@click.option("--reference-calls", default=120, show_default=True)
@click.option("--teacher-calls", default=60, show_default=True, help="Of the parts that do not vary them.")
@click.option("--search/--no-search", default=True, show_default=True, help="Improve the path that the parts share.")
@click.option("--batch", default=16, show_default=True)
@click.option("--threads", type=int)
@click.option("--data", type=click.Path(exists=True, path_type=Path), help="MNIST as an .npz, for `frechet`.")
@click.option("--only", default="baselines,paths,rows,targets,grids", show_default=True)
def main(
    engine: Path | None, calls: int, samples: int, held_out: int, reference_calls: int, teacher_calls: int,
    search: bool, batch: int, threads: int | None, data: Path | None, only: str,
) -> None:  # fmt: skip
    """Print the distances of tables to a reference."""
    with ddpm_rt.open_denoiser(engine, threads=threads) as denoise:
        bench = Bench(denoise, calls, samples, held_out, batch, reference_calls)
        name = "the bundled model" if engine is None else engine.name
        click.echo(f"{name}, {calls} calls; fitted to {samples} samples, measured on {held_out} others; reference "
                   f"{reference_calls} calls\n{'':<44} {'RMS':>8} {'median':>8}  timesteps")  # fmt: skip
        paths = bench.teacher(teacher_grid(bench.card.schedule, teacher_calls))
        cheapest = cheapest_path(step_errors(paths, bench.card.schedule), calls).tolist()
        searched = improved_path(denoise, bench.fitting, paths, cheapest, lambda: None) if search else cheapest
        parts: dict[str, Callable[[], None]] = {
            "baselines": lambda: baselines(bench),
            "paths": lambda: path_costs(bench, paths, searched),
            "rows": lambda: rows(bench, paths, searched),
            "targets": lambda: targets(bench, paths, searched),
            "grids": lambda: grids(bench),
            "frechet": lambda: frechet(bench, paths, cheapest, searched, data or Path()),
        }
        for part in only.split(","):
            parts[part]()


if __name__ == "__main__":
    main()
