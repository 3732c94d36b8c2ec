"""The data of one training step as a function of (seed, step): images, labels, flips, timesteps, noise.

This module has no state. Therefore a killed run resumes exactly, and N processes together see the data of one process.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .data import ImageSet, batch_indices
from .labels import Labels
from .recipe import Recipe


@dataclass(frozen=True)
class Batch:
    """One process's share of a step: x0 float32 `[B, C, H, W]` in [-1, 1], t int64 `[B]`, noise like x0.

    y int64 `[B]` holds the labels, some replaced by the null class; it is None for a model without classes.
    """

    x0: Tensor
    t: Tensor
    noise: Tensor
    y: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Source:
    """The source of batches. This process gets every `world`-th image of each batch."""

    images: ImageSet
    labels: Labels | None
    recipe: Recipe
    rank: int = 0
    world: int = 1

    @property
    def share(self) -> slice:
        return slice(self.rank, None, self.world)


class StepImages(Dataset[tuple[Tensor, Tensor | None]]):
    """Item i is one process's share of step i: images uint8 `[B, H, W, C]`, and labels int64 `[B]` or None."""

    def __init__(self, source: Source) -> None:
        self.source = source

    def __getitem__(self, step: int) -> tuple[Tensor, Tensor | None]:
        images, labels, training = self.source.images, self.source.labels, self.source.recipe.training
        chosen = batch_indices(len(images), training.batch_size, step, training.seed)[self.source.share]
        pixels = torch.from_numpy(np.stack([images[i] for i in chosen]))
        return pixels, None if labels is None else torch.from_numpy(labels[chosen])


def batches(source: Source, *, first: int, workers: int = 0) -> Iterator[Batch]:
    """The batches from step `first` to the last step."""
    steps = range(first, source.recipe.training.steps)
    loader = DataLoader(StepImages(source), batch_size=None, sampler=list(steps), num_workers=workers)
    for step, (pixels, labels) in zip(steps, loader, strict=True):
        yield _draw(source, step, pixels, labels)


def _draw(source: Source, step: int, pixels: Tensor, y: Tensor | None) -> Batch:
    # Every process draws for the whole batch and keeps its share, so the batch does not depend on their number.
    training, timesteps = source.recipe.training, source.recipe.diffusion.steps
    generator = torch.Generator().manual_seed(training.seed * 1_000_003 + step)
    whole = (training.batch_size, pixels.shape[3], pixels.shape[1], pixels.shape[2])
    mine = source.share
    t = torch.randint(timesteps, whole[:1], generator=generator)[mine]
    mirrored = (torch.rand(whole[0], generator=generator) < 0.5)[mine]
    noise = torch.randn(whole, generator=generator)[mine]
    if y is not None and (null := source.recipe.null_class) is not None:
        dropped = (torch.rand(whole[0], generator=generator) < training.label_dropout)[mine]
        y = torch.where(dropped, null, y)
    x0 = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0  # Ho et al. section 3.3: {0..255} to [-1, 1]
    if training.flip:
        x0 = torch.where(mirrored[:, None, None, None], x0.flip(3), x0)
    return Batch(x0, t, noise, y)
