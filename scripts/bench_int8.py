"""What int8 and few calls are worth on the CIFAR-10 UNet of Ho et al.: against float32, and against diffusers.

    python scripts/bench_int8.py
    python scripts/bench_int8.py --rounds 3 --calibrate 1 --calibrate-steps 2 --slow-steps 4   # a short try

The weights are random: times do not depend on them. The network is exported and quantised here. The first part is that
of `ddpm-rt bench int8.onnx --against float.onnx`: calls in turn on the same inputs, by median. The second part times
whole images at batch 1: `DDIMPipeline` of diffusers with 50 steps, against a table of 8 calls in float32 and int8. That
table is DPM-Solver++(2M), because a table fitted to random weights means nothing and costs the same.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import torch
from random_model import random_model

import ddpm_rt
from ddpm_export.quantize import Quantization, quantize
from ddpm_ref.recipe import load_preset
from ddpm_ref.unet import UNet, init_like_ho
from ddpm_rt.artifacts.onnx_card import read_onnx_card
from ddpm_rt.inspection.operators import operators_text, optimised_operators
from ddpm_rt.measure import Limit, measure
from ddpm_rt.measure.machine import cpu_name, int8_instructions, thread_count, versions
from ddpm_rt.measure.timing import in_turn, seconds
from ddpm_rt.requests.request import Request
from ddpm_rt.requests.sampler_options import SamplerOptions

Chain = Callable[[int], object]  # takes a seed and draws one image


def by_diffusers(unet: UNet, steps: int) -> Chain:
    """`DDIMPipeline`, called as in its documentation, with the weights of `unet`."""
    from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

    config = {key: value for key, value in unet.config.to_dict().items() if not key.startswith("_")}
    model = UNet2DModel(**config).eval()
    model.load_state_dict(unet.state_dict())
    pipeline = DDIMPipeline(model, DDIMScheduler())
    pipeline.set_progress_bar_config(disable=True)
    return lambda seed: pipeline(
        num_inference_steps=steps, generator=torch.Generator().manual_seed(seed), output_type="np"
    )


def by_us(engine: Any, **options: Any) -> Chain:
    """One image by a table."""
    return lambda seed: Request(**options, count=1, batch=1, seed=seed).drawn(engine)


def calls(path: Path, small: Path, batches: tuple[int, ...], rounds: int) -> None:
    """Print the times of calls of both files."""
    for batch in batches:
        found = measure(
            lambda: ddpm_rt.open_denoiser(small), Request(steps=4), batch=batch, limit=Limit(rounds, 120.0),
            against=lambda: ddpm_rt.open_denoiser(path),
        )  # fmt: skip
        assert found.against is not None
        ratio, exact, ours = found.against.times_as_fast, found.against.ms_per_call, found.ms_per_call
        click.echo(
            f"batch {batch}: float32 {exact.median:.1f} ms a call, int8 {ours.median:.1f} ms, "
            f"{ratio.median:.2f} times as fast ({ratio.low:.2f} to {ratio.high:.2f})"
        )


def images(unet: UNet, path: Path, small: Path, slow_steps: int, rounds: int) -> None:
    """Print the times of whole images."""
    few = {"sampler": "dpm++", "spacing": "logsnr", "steps": 8}
    with ddpm_rt.open_denoiser(path) as exact, ddpm_rt.open_denoiser(small) as int8:
        chains = {
            f"diffusers, DDIM {slow_steps}": by_diffusers(unet, slow_steps),
            f"ddpm-rt float32, ddim {slow_steps}": by_us(exact, sampler="ddim", steps=slow_steps),
            "ddpm-rt float32, 8 calls": by_us(exact, **few),
            "ddpm-rt int8, 8 calls": by_us(int8, **few),
        }
        took: dict[str, list[float]] = {name: [] for name in chains}
        for number, order in zip(range(rounds + 1), in_turn(list(chains)), strict=False):
            for name in order:
                took[name].append(seconds(lambda name=name, number=number: chains[name](number)))  # type: ignore[misc]
    medians = {name: statistics.median(values[1:]) for name, values in took.items()}  # the first round warms up
    slowest = next(iter(medians.values()))
    for name, median in medians.items():
        click.echo(f"{name:<32} {median:8.3f} s an image   {slowest / median:6.2f} times as fast as diffusers")


@click.command()
@click.option("--batch", "batches", multiple=True, type=int, default=[1, 8], show_default=True)
@click.option("--rounds", default=9, show_default=True)
@click.option("--calibrate", default=4, show_default=True, help="Samples for the ranges.")
@click.option("--calibrate-steps", default=10, show_default=True, help="DDIM steps of each.")
@click.option("--slow-steps", default=50, show_default=True, help="DDIM steps of diffusers.")
def main(batches: tuple[int, ...], rounds: int, calibrate: int, calibrate_steps: int, slow_steps: int) -> None:
    """Print what int8 and few calls are worth on the CIFAR-10 UNet."""
    unet = UNet(load_preset("cifar10").model).eval()
    init_like_ho(unet, torch.Generator().manual_seed(0))
    click.echo(f"{cpu_name()}, int8: {', '.join(int8_instructions() or ['not known'])}, {thread_count(None)} threads; "
               + ", ".join(f"{name} {version}" for name, version in versions().items()))  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        path, small = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        random_model("cifar10", path, unet)
        sampler = SamplerOptions(steps=calibrate_steps).compile(read_onnx_card(path))
        started = time.perf_counter()
        done = quantize(path, small, Quantization(calibrate=calibrate, compare=1, sampler=sampler))
        click.echo(
            f"quantize: {time.perf_counter() - started:.0f} s, {done.quantised} of {len(done.table)} layers int8; "
            f"ONNX Runtime runs {operators_text(optimised_operators(small))}"
        )
        calls(path, small, batches, rounds)
        images(unet, path, small, slow_steps, rounds)


if __name__ == "__main__":
    main()
