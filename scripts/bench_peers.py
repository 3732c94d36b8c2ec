"""Time three ways to sample the same weights on this CPU at batch 1: diffusers' pipeline, a hand-written loop, ddpm-rt.

    python scripts/bench_peers.py --steps 10 --rounds 7

The network is the CIFAR-10 UNet of Ho et al. (35.7 million parameters) with random weights, whose values do not affect
the time. The hand-written loop is a typical one: PyTorch's own ONNX export, ONNX Runtime, the posterior in NumPy. The
rounds are interleaved in one process; the figures are medians.
"""

import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import torch
from random_model import random_model

import ddpm_rt
from ddpm_export.onnx_export import quiet
from ddpm_ref.recipe import load_preset
from ddpm_ref.unet import UNet, init_like_ho
from ddpm_rt.requests.request import Request

Chain = Callable[[int], object]  # takes a seed and runs one whole chain


def diffusers_pipeline(unet: UNet, steps: int) -> Chain:
    """`DDPMPipeline`, called as in its documentation."""
    from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

    config = {key: value for key, value in unet.config.to_dict().items() if not key.startswith("_")}
    model = UNet2DModel(**config).eval()
    model.load_state_dict(unet.state_dict())
    pipeline = DDPMPipeline(model, DDPMScheduler(variance_type="fixed_large"))
    pipeline.set_progress_bar_config(disable=True)
    return lambda seed: pipeline(
        num_inference_steps=steps, generator=torch.Generator().manual_seed(seed), output_type="np"
    )


def hand_written(unet: UNet, steps: int, folder: Path) -> Chain:
    """PyTorch's unmodified export, and a loop of ten lines."""
    import onnxruntime

    path = folder / "plain.onnx"
    x, t = torch.zeros(2, 3, 32, 32), torch.zeros(2, dtype=torch.int64)
    batch = torch.export.Dim("batch")
    with quiet():
        torch.onnx.export(unet, (x, t), path, dynamo=True, input_names=["x", "t"], verbose=False,
                          dynamic_shapes=({0: batch}, {0: batch}))  # fmt: skip
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    betas = np.linspace(1e-4, 0.02, 1000)
    bars = np.cumprod(1 - betas)
    times = np.arange(0, 1000, 1000 // steps)[::-1]

    def chain(seed: int) -> object:
        random = np.random.default_rng(seed)
        x = random.standard_normal((1, 3, 32, 32)).astype(np.float32)
        for index, t in enumerate(times):
            now, before = bars[t], bars[times[index + 1]] if index + 1 < len(times) else 1.0
            eps = session.run(None, {"x": x, "t": np.array([t])})[0]
            x0 = np.clip((x - np.sqrt(1 - now) * eps) / np.sqrt(now), -1, 1)
            beta = 1 - now / before
            mean = (np.sqrt(before) * beta * x0 + np.sqrt(1 - beta) * (1 - before) * x) / (1 - now)
            z = random.standard_normal(x.shape) if index + 1 < len(times) else 0.0
            x = (mean + np.sqrt(beta) * z).astype(np.float32)
        return x

    return chain


def ours(path: Path, steps: int) -> Chain:
    """`ddpm_rt` on an export by `ddpm-rt export`."""
    model = ddpm_rt.open_denoiser(path)

    def chain(seed: int) -> object:
        request = Request(sampler="ddpm", steps=steps, count=1, batch=1, seed=seed)
        *_, last = request.bind(model.card).trajectory(model, request.samples)
        return last.x

    return chain


@click.command()
@click.option("--steps", default=10, show_default=True)
@click.option("--rounds", default=7, show_default=True)
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Keep the figures.")
def main(steps: int, rounds: int, json_path: Path | None) -> None:
    """Time three ways to sample."""
    unet = UNet(load_preset("cifar10").model).eval()
    init_like_ho(unet, torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as folder:
        chains: dict[str, Chain] = {
            "diffusers DDPMPipeline": diffusers_pipeline(unet, steps),
            "hand-written ONNX Runtime loop": hand_written(unet, steps, Path(folder)),
            "ddpm-rt": ours(random_model("cifar10", Path(folder) / "cifar10.onnx", unet), steps),
        }
        times: dict[str, list[float]] = {name: [] for name in chains}
        for seed in range(rounds + 1):  # the first round warms up and is dropped
            for name, chain in chains.items():
                started = time.perf_counter()
                chain(seed)
                times[name].append(time.perf_counter() - started)
    medians = {name: 1000 * statistics.median(values[1:]) / steps for name, values in times.items()}
    for name, milliseconds in medians.items():
        click.echo(f"{name:<32} {milliseconds:8.1f} ms a step   {milliseconds / medians['ddpm-rt']:5.2f} x ddpm-rt")
    if json_path:
        json_path.write_text(json.dumps({"steps": steps, "rounds": rounds, "ms_a_step": medians}, indent=2) + "\n")


if __name__ == "__main__":
    main()
