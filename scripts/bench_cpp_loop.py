"""Measure the overhead of the loop of runtime/cpp over its network, and of the Python loop on the same model, in turn.

    scripts/cpp_test.sh && cmake --build build/cpp/gcc --target bench_loop
    python scripts/bench_cpp_loop.py build/cpp/gcc/tests/bench_loop [--cifar10]

Prints a table. Each figure is the median over the rounds of the ratio whole chain / (steps x bare call).
"""

import math
import statistics
import subprocess
import tempfile
from pathlib import Path

import click
from random_model import random_model

import ddpm_rt
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.artifacts.steps_file import write_steps
from ddpm_rt.measure import Limit, measure
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.request import Request
from ddpm_rt.requests.sampler_options import SamplerOptions

Pairs = list[tuple[float, float]]  # milliseconds a step: bare, chain


def in_cpp(program: Path, engine: Path, steps: Path, batch: int, count: int) -> Pairs:
    command = [str(program), str(engine), str(steps), str(batch), str(count)]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [(float(bare), float(chain)) for bare, chain, _ in map(str.split, lines)]


def show(name: str, language: str, sampler: str, batch: int, steps: int, pairs: Pairs) -> None:
    alone, whole = (statistics.median(side) for side in zip(*pairs, strict=True))
    ratio = statistics.median(chain / bare for bare, chain in pairs)
    row(name, language, sampler, batch, steps, alone, whole, ratio)


def row(
    name: str, language: str, sampler: str, batch: int, steps: int, alone: float, whole: float, ratio: float
) -> None:
    click.echo(f"{name:<16} {language:<8} {sampler:<8} {batch:5} {steps:5} {alone:9.3f} {whole:9.3f} {ratio:8.4f}")


@click.command()
@click.argument("program", type=click.Path(exists=True, path_type=Path))
@click.option("--cifar10", "use_cifar10", is_flag=True, help="The CIFAR-10 UNet with random weights.")
@click.option("--batch", "batches", multiple=True, type=click.IntRange(min=1), default=[1], show_default=True)
@click.option("--steps", default=50, show_default=True)
@click.option("--rounds", "count", default=15, show_default=True)
def main(program: Path, use_cifar10: bool, batches: tuple[int, ...], steps: int, count: int) -> None:
    """Measure the overhead of both loops."""
    with tempfile.TemporaryDirectory() as folder:
        engine = random_model("cifar10", Path(folder) / "cifar10.onnx") if use_cifar10 else bundled_model()
        card = read_onnx_card(engine)
        click.echo(f"{'model':<16} loop     sampler  batch steps   bare ms  chain ms    ratio")
        for batch in batches:
            for sampler in ("ddim", "ddpm"):
                table = Path(folder) / f"{sampler}.steps.json"
                recipe = SamplerOptions(sampler=sampler, steps=steps)  # type: ignore[arg-type]
                write_steps(table, recipe.compile(card), card)
                name = engine.stem
                show(name, "C++", sampler, batch, steps, in_cpp(program, engine, table, batch, count))
                figures = measure(
                    lambda: ddpm_rt.open_denoiser(engine), Request(sampler=sampler, steps=steps), batch=batch,
                    limit=Limit(count, math.inf),
                )  # fmt: skip
                chain = 1000 * batch / figures.images_per_second.median / steps
                row(
                    name,
                    "Python",
                    sampler,
                    batch,
                    steps,
                    figures.ms_per_call.median,
                    chain,
                    figures.loop_overhead.median,
                )


if __name__ == "__main__":
    main()
