"""The trusted side of `ddpm-rt verify`: a checkpoint in PyTorch, sampled by `ddpm_ref` from `ddpm_rt.noise`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm_ref.checkpoint import Checkpoint, load_checkpoint
from ddpm_ref.diffusion import at_timesteps
from ddpm_rt import noise
from ddpm_rt.denoiser import Batch, Denoiser, Times
from ddpm_rt.errors import DdpmRtError
from ddpm_rt.request import Request
from ddpm_rt.verify import Side

from .checkpoint_card import card_of


def reference_side(path: Path, request: Request) -> Side:
    """The checkpoint at `path`, sampled as `request` says, which must name its spacing.

    Raises DdpmRtError when there is no checkpoint that can be read.
    """
    try:
        checkpoint = load_checkpoint(path)
    except ValueError as error:
        raise DdpmRtError(str(error)) from error
    card = card_of(checkpoint, path)

    @torch.no_grad()
    def denoise(x: Batch, t: Times) -> Batch:
        out: Batch = checkpoint.unet(torch.from_numpy(x), torch.from_numpy(t)).numpy()
        return out

    def chain(denoise: Denoiser, samples: Sequence[int]) -> Iterator[NDArray[np.float64]]:
        t = request.table(card).t.tolist()
        return _chain(checkpoint, request, t, denoise, samples)

    return Side(denoise, chain, card)


def _chain(
    checkpoint: Checkpoint, request: Request, t: list[int], denoise: Denoiser, samples: Sequence[int]
) -> Iterator[NDArray[np.float64]]:
    """The loops of `ddpm_ref` in float64: the reference adds no rounding of its own to the network's."""
    config = checkpoint.unet.config
    shape = (len(samples), config.in_channels, config.sample_size, config.sample_size)
    size = int(np.prod(shape[1:]))

    def model(x: Tensor, times: Tensor) -> Tensor:
        return torch.from_numpy(denoise(x.float().numpy(), times.numpy())).double()

    def draw(row: int) -> Tensor:
        return torch.from_numpy(noise.normal(request.seed, samples, row, size)).reshape(shape).double()

    x, process = draw(noise.INITIAL_STEP), checkpoint.diffusion
    if request.sampler == "ddim":
        steps = process.ddim_sample_loop(
            model, x, draw, timesteps=t, eta=request.eta or 0.0, clip=checkpoint.clip
        )  # fmt: skip
    else:
        steps = process.respaced(t).p_sample_loop(
            at_timesteps(model, t), x, draw, variance=checkpoint.variance, clip=checkpoint.clip
        )
    for image in steps:
        yield image.numpy()
