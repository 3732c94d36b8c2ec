"""What one training step sees, as a function of (seed, step): images, flips, timesteps, noise.

Nothing here has state, so a run that was killed goes on exactly, and N processes see together what one would.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from .data import ImageSet, batch_indices
from .recipe import Training


@dataclass(frozen=True)
class Batch:
    """One process's share of a step: x0 float32 `[B, C, H, W]` in [-1, 1], t int64 `[B]`, noise like x0."""

    x0: Tensor
    t: Tensor
    noise: Tensor


class StepImages(Dataset[Tensor]):
    """Item i is the uint8 batch `[B, H, W, C]` of one process for step i."""

    def __init__(self, images: ImageSet, training: Training, rank: int, world: int) -> None:
        self.images, self.training, self.rank, self.world = images, training, rank, world

    def __getitem__(self, step: int) -> Tensor:
        chosen = batch_indices(len(self.images), self.training.batch_size, step, self.training.seed)
        return torch.from_numpy(np.stack([self.images[i] for i in chosen[self.rank :: self.world]]))


def batches(
    images: ImageSet, training: Training, *, first: int, timesteps: int, rank: int = 0, world: int = 1, workers: int = 0
) -> Iterator[Batch]:
    """The batches of steps `first` to the last one. Process `rank` of `world` gets every world-th image."""
    steps = range(first, training.steps)
    loader = DataLoader(StepImages(images, training, rank, world), batch_size=None, sampler=steps, num_workers=workers)
    for step, pixels in zip(steps, loader, strict=True):
        yield _draw(pixels, training, step=step, timesteps=timesteps, rank=rank, world=world)


def _draw(pixels: Tensor, training: Training, *, step: int, timesteps: int, rank: int, world: int) -> Batch:
    # Every process draws for the whole batch and keeps its share: so the share does not depend on how many there are.
    generator = torch.Generator().manual_seed(training.seed * 1_000_003 + step)
    whole = (training.batch_size, pixels.shape[3], pixels.shape[1], pixels.shape[2])
    mine = slice(rank, None, world)
    t = torch.randint(timesteps, whole[:1], generator=generator)[mine]
    mirrored = (torch.rand(whole[0], generator=generator) < 0.5)[mine]
    noise = torch.randn(whole, generator=generator)[mine]
    x0 = pixels.permute(0, 3, 1, 2).float() / 127.5 - 1.0  # Ho et al. section 3.3: {0..255} to [-1, 1]
    if training.flip:
        x0 = torch.where(mirrored[:, None, None, None], x0.flip(3), x0)
    return Batch(x0, t, noise)
