"""Measure the overhead of the reverse loop: whole chain / (steps x bare `session.run`). Prints a table.

    python scripts/bench_loop.py                        # the bundled model
    python scripts/bench_loop.py --cifar10 --rounds 5   # the UNet of Ho et al. for CIFAR-10, random weights

Chains and bare calls alternate in one process, so that both run under the same conditions. Each figure is the median
over the rounds of the round's ratio.
"""

import json
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np

import ddpm_rt
from ddpm_rt import noise
from ddpm_rt.engines.ort_cpu import OrtDenoiser
from ddpm_rt.requests.request import Request


def bare(model: OrtDenoiser, batch: int, calls: int) -> float:
    """Seconds for `calls` calls of `session.run` on prepared inputs: the network alone."""
    shape = (batch, *model.card.image_shape)
    x = noise.normal(0, range(batch), noise.INITIAL_STEP, int(np.prod(shape[1:]))).reshape(shape)
    feeds = [{"x": x, "t": np.full(batch, t, np.int64)} for t in np.linspace(len(model.card.betas) - 1, 0, calls)]
    started = time.perf_counter()
    for feed in feeds:
        model.session.run(None, feed)
    return time.perf_counter() - started


def chain(model: OrtDenoiser, batch: int, steps: int, sampler: str, seed: int) -> float:
    """Seconds for a whole chain, from noise to images."""
    request = Request(sampler=sampler, steps=steps, count=batch, batch=batch, seed=seed)  # type: ignore[arg-type]
    started = time.perf_counter()
    for _ in request.bind(model.card).trajectory(model, request.samples):
        pass
    return time.perf_counter() - started


def rounds(model: OrtDenoiser, batch: int, steps: int, sampler: str, count: int) -> Iterator[tuple[float, float]]:
    """`count` pairs (bare, chain) of seconds; the order of the two measurements alternates."""
    bare(model, batch, 3)
    for number in range(count):
        if number % 2:
            whole = chain(model, batch, steps, sampler, number)
            yield bare(model, batch, steps), whole
        else:
            alone = bare(model, batch, steps)
            yield alone, chain(model, batch, steps, sampler, number)


def cifar10(folder: Path) -> Path:
    """An export of the CIFAR-10 UNet with the initial weights of Ho et al."""
    import torch

    from ddpm_export.onnx_export import export_onnx
    from ddpm_export.sources import open_source
    from ddpm_export.sources.checkpoint_card import card_of
    from ddpm_ref.checkpoint import Checkpoint, save_checkpoint
    from ddpm_ref.recipe import load_preset
    from ddpm_ref.unet import UNet, init_like_ho

    recipe = load_preset("cifar10")
    unet = UNet(recipe.model)
    init_like_ho(unet, torch.Generator().manual_seed(0))
    process = recipe.diffusion
    checkpoint = Checkpoint(unet, process.betas, process.prediction, process.variance, (-1.0, 1.0))
    path, saved = folder / "cifar10.onnx", folder / "cifar10-random"
    save_checkpoint(saved, checkpoint)
    source = open_source(saved)
    export_onnx(source.module, card_of(source, saved), path)
    return path


@click.command()
@click.option("--engine", type=click.Path(exists=True, path_type=Path), help="[default: the bundled model]")
@click.option("--cifar10", "use_cifar10", is_flag=True, help="The CIFAR-10 UNet with random weights instead.")
@click.option("--batch", "batches", multiple=True, type=click.IntRange(min=1), default=[1], show_default=True)
@click.option("--steps", default=50, show_default=True)
@click.option("--rounds", "count", default=15, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Keep the figures.")
def main(
    engine: Path | None, use_cifar10: bool, batches: tuple[int, ...], steps: int, count: int, json_path: Path | None
) -> None:
    """Measure the overhead of the loop."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        model = ddpm_rt.open_denoiser(cifar10(Path(folder)) if use_cifar10 else engine)
        assert isinstance(model, OrtDenoiser)
        name = model.card.provenance.source
        click.echo(f"{'model':<24} sampler  batch steps   bare ms  chain ms   ratio")
        for batch in batches:
            for sampler in ("ddim", "ddpm"):
                pairs = list(rounds(model, batch, steps, sampler, count))
                alone, whole = (1000 * statistics.median(side) / steps for side in zip(*pairs, strict=True))
                ratio = statistics.median(c / b for b, c in pairs)
                click.echo(f"{name:<24} {sampler:<8} {batch:5} {steps:5} {alone:9.3f} {whole:9.3f} {ratio:7.4f}")
                rows.append({"model": name, "sampler": sampler, "batch": batch, "steps": steps, "rounds": count,
                             "bare_ms": alone, "chain_ms": whole, "ratio": ratio})  # fmt: skip
    if json_path:
        machine = {"platform": platform.platform(), "python": platform.python_version(), "ddpm_rt": ddpm_rt.__version__}
        json_path.write_text(json.dumps({"machine": machine, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
