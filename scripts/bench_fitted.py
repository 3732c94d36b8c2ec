"""What fitted tables and int8 are worth on a model of MNIST: Frechet distance and time of 16 images. Prints a table.

    python scripts/bench_fitted.py --data mnist.npz
    python scripts/bench_fitted.py --data mnist.npz --calls 6 --count 128 --seeds 1 --rounds 3   # a short try

Tables of 6, 8 and 10 calls are fitted here with the defaults of `ddpm-rt tune` (seeds 900 and 901), on the float
model and on its int8 version. The samples have seeds of their own, from 5000. Distances are those of `evaluate.py`; the
margin is the deviation over the seeds. The times are of whole chains of 16 images, in turn in one process, by median.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from evaluate import Judge, Mnist

import ddpm_rt
from ddpm_export.quantize import Quantization, quantize
from ddpm_rt.engine import Engine
from ddpm_rt.images.write import to_pixels
from ddpm_rt.measure.timing import in_turn, seconds
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.request import Request
from ddpm_rt.tune import RanOn, Tuning, tune

FIRST_SEED = 5000
IMAGES = 16  # of a timed chain


@dataclass(frozen=True)
class Contestant:
    """An engine with a sampler."""

    name: str
    engine: Engine
    options: dict[str, Any]  # of a request

    def draw(self, seed: int, count: int, batch: int) -> Any:
        """Images float32 `[count, C, H, W]`."""
        return Request(**self.options, seed=seed, count=count, batch=batch).drawn(self.engine)


def fitted(engine: Engine, calls: int) -> tuple[dict[str, Any], float]:
    """The options of a request with a table that is fitted now, and the seconds of the fit."""
    started = time.perf_counter()
    found = tune(
        engine, Tuning(calls=calls, batch=32), RanOn(model="", precision=engine.card.precision, provider="cpu")
    )
    return {"compiled": found.sampler}, time.perf_counter() - started


def contestants(exact: Engine, int8: Engine, calls: list[int], say: Callable[[str], None]) -> list[Contestant]:
    """The standard samplers and the fitted tables, on both engines."""
    found = [
        Contestant("float32, ddim 50", exact, {"sampler": "ddim", "steps": 50}),
        Contestant("float32, dpm++ 20 logsnr", exact, {"sampler": "dpm++", "steps": 20, "spacing": "logsnr"}),
        Contestant("int8, ddim 50", int8, {"sampler": "ddim", "steps": 50}),
    ]
    for name, engine in (("float32", exact), ("int8", int8)):
        for count in calls:
            options, took = fitted(engine, count)
            say(f"tune --calls {count} on {name}: {took:.0f} s")
            found.append(Contestant(f"{name}, fitted {count}", engine, options))
    return found


def distances(one: Contestant, judge: Judge, seeds: int, count: int, batch: int) -> list[float]:
    """The Frechet distance of each seed's samples to the test set."""
    return [judge.distance(to_pixels(one.draw(FIRST_SEED + seed, count, batch))[..., 0]) for seed in range(seeds)]


def times(found: list[Contestant], rounds: int) -> dict[str, list[float]]:
    """The seconds of a chain of 16 images, by name; one more round warms up."""
    runs = {one.name: one for one in found}
    took: dict[str, list[float]] = {name: [] for name in runs}
    for number, order in zip(range(rounds + 1), in_turn(list(runs)), strict=False):
        for name in order:
            took[name].append(seconds(lambda name=name, number=number: runs[name].draw(number, IMAGES, IMAGES)))  # type: ignore[misc]
    return {name: values[1:] for name, values in took.items()}


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="MNIST as an .npz.")
@click.option("--engine", type=click.Path(exists=True, path_type=Path), help="[default: the bundled model]")
@click.option("--calls", default="6,8,10", show_default=True)
@click.option("--count", default=512, show_default=True, help="Samples of a seed.")
@click.option("--seeds", default=3, show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--rounds", default=15, show_default=True, help="Of the times.")
def main(data: Path, engine: Path | None, calls: str, count: int, seeds: int, batch: int, rounds: int) -> None:
    """Print the distances and times of fitted tables and int8."""
    path, judge = engine or bundled_model(), Judge(Mnist.load(data))
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "int8.onnx"
        started = time.perf_counter()
        done = quantize(path, small, Quantization())
        click.echo(
            f"quantize: {time.perf_counter() - started:.0f} s, {done.quantised} of {len(done.table)} layers int8, "
            f"chain PSNR {done.chain_psnr:.1f} dB, worst {done.worst_chain_psnr:.1f} dB"
        )
        with ddpm_rt.open_denoiser(path) as exact, ddpm_rt.open_denoiser(small) as int8:
            found = contestants(exact, int8, [int(one) for one in calls.split(",")], click.echo)
            took = times(found, rounds)
            real = judge.real(count)
            click.echo(
                f"\n{count} samples a seed, {seeds} seeds from {FIRST_SEED}; classifier {judge.name}, "
                f"{judge.accuracy:.2%} right; {count} real images: {real.mean:.2f} +- {real.deviation:.2f}"
            )
            click.echo(f"{'':<26} {'distance':>9} {'':>8} {'of ddim':>8} {'16 images':>10} {'times as fast':>13}")
            base: list[float] = []
            slow = statistics.median(took[found[0].name])
            for one in found:
                each = distances(one, judge, seeds, count, batch)
                base = base or each
                took_here = statistics.median(took[one.name])
                spread = f"+- {np.std(each, ddof=1):.2f}" if seeds > 1 else ""
                click.echo(f"{one.name:<26} {np.mean(each):9.2f} {spread:>8} {np.mean(each) / np.mean(base):8.3f} "
                           f"{took_here:8.3f} s {slow / took_here:13.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
