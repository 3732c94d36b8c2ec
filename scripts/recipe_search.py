"""Compare variants of a recipe by short training runs, to find the one that learns fastest for its cost.

    python scripts/recipe_search.py --data mnist.npz --preset mnist --steps 700 \\
        --change "wide: model.block_out_channels=[32,64,80]" --change "fast: training.learning_rate=2e-3"

Every row is one run on one thread, with a cooldown over its last third. Its cost is the CPU time of the training, which
depends less on other processes than the wall time does. `loss` is the mean square error of v on test images at fixed
timesteps and noise, which makes models with different predictions comparable. distance, sure and right are those of
`evaluate.py`, over DDIM samples with labels in equal shares.
"""

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from closeness import Digits
from evaluate import Judge, Mnist
from mnist_classifier import answers

from ddpm_ref.checkpoint import Checkpoint, load_checkpoint
from ddpm_ref.diffusion import Diffusion
from ddpm_ref.recipe import Recipe, load_preset, load_recipe
from ddpm_ref.report import draw_samples
from ddpm_ref.trainer import labelled, train

HEADER = f"{'run':<28} {'MB':>5} {'CPU s':>6} {'images/s':>8} {'loss':>7} {'distance':>9} {'sure':>7} {'right':>7}"


def changed(recipe: Recipe, change: str) -> Recipe:
    """`recipe` with `section.key=value` pairs replaced. Values are JSON; semicolons separate the pairs."""
    for pair in filter(None, (part.strip() for part in change.split(";"))):
        key, _, text = pair.partition("=")
        section, _, name = key.partition(".")
        value = json.loads(text)
        part = replace(getattr(recipe, section), **{name: tuple(value) if isinstance(value, list) else value})
        recipe = replace(recipe, **{section: part})
    return recipe


@torch.no_grad()
def validation_loss(checkpoint: Checkpoint, data: Mnist, count: int = 1000) -> float:
    """The mean square error of v over `count` test images, at the same timesteps and noise for every model."""
    generator = torch.Generator().manual_seed(0)
    diffusion = checkpoint.diffusion
    order = np.random.default_rng(0).permutation(len(data.test_images))[:count]
    x0 = torch.from_numpy(data.test_images[order][:, None] / 127.5 - 1.0).float()
    y = torch.from_numpy(data.test_labels[order])
    t, noise = torch.randint(len(diffusion), (count,), generator=generator), torch.randn(x0.shape, generator=generator)
    by_v, errors = Diffusion(checkpoint.betas, "v"), []
    for part in torch.arange(count).split(100):
        x = diffusion.q_sample(x0[part], t[part], noise[part])
        out = labelled(checkpoint.unet, labels_for(checkpoint, y[part]), channels=1)(x, t[part])
        guess = diffusion.predict_x0(out, x, t[part])
        eps = (x - x0_share(diffusion, t[part]) * guess) / noise_share(diffusion, t[part])
        errors.append((by_v.target(guess, t[part], eps) - by_v.target(x0[part], t[part], noise[part])).square().mean())
    return float(torch.stack(errors).mean())


def x0_share(diffusion: Diffusion, t: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(diffusion.alpha_bars**0.5)[t].reshape(-1, 1, 1, 1).float()


def noise_share(diffusion: Diffusion, t: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy((1.0 - diffusion.alpha_bars) ** 0.5)[t].reshape(-1, 1, 1, 1).float()


def labels_for(checkpoint: Checkpoint, y: torch.Tensor) -> torch.Tensor | None:
    return y if checkpoint.unet.config.labelled else None


def drawn(checkpoint: Checkpoint, count: int, steps: int, batch: int = 128) -> tuple[Digits, Any]:
    """`count` samples by DDIM as bytes `[N, 28, 28]`, and their labels `[N]`, 0 to 9 in turn."""
    y = torch.arange(count) % 10
    shape = checkpoint.unet.config.image_shape
    parts = []
    for first in range(0, count, batch):
        some = y[first : first + batch]
        model = labelled(checkpoint.unet, labels_for(checkpoint, some), channels=shape[0])
        size = (len(some), *shape)
        drawn = draw_samples(model, checkpoint.diffusion, size, torch.device("cpu"), (), steps=steps, seed=first)
        assert drawn is not None
        parts.append(drawn)
    pixels = ((torch.cat(parts).clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    return pixels[:, 0], y.numpy()


def row(name: str, recipe: Recipe, judge: Judge, *, count: int, sampling_steps: int) -> str:
    """Train and measure one run, and return its row of the table."""
    data = judge.data
    labels = data.train_labels if recipe.model.labelled else None
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        train(recipe, data.train_images[..., None], Path(folder), labels=labels, quiet=True, cpu=True)
        seconds = time.process_time() - started
        checkpoint = load_checkpoint(folder)
    megabytes = sum(weight.numel() for weight in checkpoint.unet.parameters()) * 4 / 1e6
    images, wanted = drawn(checkpoint, count, sampling_steps)
    found = answers(judge.classifier, images).probabilities
    right = f"{(found.argmax(1) == wanted).mean():7.1%}" if labels is not None else f"{'':>7}"
    seen = recipe.training.steps * recipe.training.batch_size
    return (
        f"{name:<28} {megabytes:5.2f} {seconds:6.0f} {seen / seconds:8.0f} {validation_loss(checkpoint, data):7.4f} "
        f"{judge.distance(images):9.2f} {(found.max(1) > 0.9).mean():7.1%} {right}"
    )


@click.command()
@click.option("--data", required=True, type=click.Path(exists=True, path_type=Path), help="MNIST as an .npz.")
@click.option("--preset", default="mnist", show_default=True, help="The recipe to vary.")
@click.option("--config", type=click.Path(exists=True, path_type=Path), help="A recipe to vary, from a TOML file.")
@click.option(
    "--steps",
    type=click.IntRange(min=3),
    default=700,
    show_default=True,
    help="Training steps at 32 images; other batch sizes see as many images.",
)
@click.option("--change", "changes", multiple=True, required=True, metavar="NAME: SECTION.KEY=JSON; ...")
@click.option("--count", type=click.IntRange(min=65), default=512, show_default=True)
@click.option("--sampling-steps", type=click.IntRange(min=1), default=25, show_default=True)
def main(
    data: Path,
    preset: str,
    config: Path | None,
    steps: int,
    changes: tuple[str, ...],
    count: int,
    sampling_steps: int,
) -> None:
    """Train each variant for a short while and measure it."""
    torch.set_num_threads(1)
    judge = Judge(Mnist.load(data))
    base = load_recipe(config) if config else load_preset(preset)
    click.echo(HEADER)
    for change in changes:
        name, _, pairs = change.partition(":")
        recipe = changed(base, pairs)
        runs = steps * 32 // recipe.training.batch_size
        short = {"steps": runs, "cooldown_steps": runs // 3, "warmup_steps": min(100, runs // 5)}
        quiet = {"checkpoint_every": runs, "sample_every": runs, "sample_count": 1}
        click.echo(row(name, recipe.with_training(**short, **quiet), judge, count=count, sampling_steps=sampling_steps))


if __name__ == "__main__":
    main()
