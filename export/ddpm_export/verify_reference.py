"""The reference side of `ddpm-rt verify`: a PyTorch checkpoint, sampled by `ddpm_ref` with noise of `ddpm_rt.noise`."""

import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ddpm_ref.diffusion import Diffusion, at_timesteps
from ddpm_rt import noise
from ddpm_rt.denoiser import Batch, Denoiser, Times
from ddpm_rt.errors import DdpmRtError
from ddpm_rt.requests.request import Request
from ddpm_rt.verify.comparison import Side

from .sources import Source, open_source
from .sources.checkpoint_card import card_of


def reference_side(path: Path, request: Request) -> Side:
    """The reference side for the checkpoint at `path`, in any layout that `export` reads, and for `request`.

    Raises DdpmRtError if the checkpoint cannot be read, ValueError for a sampler, dialect, guidance or variance that
    the reference does not support.
    """
    try:
        source = open_source(path)
    except ValueError as error:
        raise DdpmRtError(str(error)) from error
    _check_known(request, source)
    card = card_of(source, path)
    bound = functools.cache(lambda: request.bind(card))  # delayed until the cards have been compared

    def network(samples: Sequence[int]) -> Denoiser:
        labels = bound().labels(samples)
        more = () if labels is None else (torch.from_numpy(labels),)

        @torch.no_grad()
        def denoise(x: Batch, t: Times, /, *_: Batch) -> Batch:
            out: Batch = source.module(torch.from_numpy(x), torch.from_numpy(t), *more).numpy()
            return out

        return denoise

    def chain(denoise: Denoiser, samples: Sequence[int]) -> Iterator[NDArray[np.float64]]:
        return _chain(source, request, bound().table.t.tolist(), denoise, samples)

    return Side(network, chain, card)


def _check_known(request: Request, source: Source) -> None:
    sampler = request.sampler or "ddim"
    if sampler not in ("ddim", "ddpm") or request.dialect not in (None, "ho2020"):
        raise ValueError("the reference samples with ddim and ddpm, in the dialect ho2020; compare with --engine-b")
    if request.compiled is not None:
        raise ValueError("the reference does not run fitted tables or steps files; compare with --engine-b")
    if source.inputs:
        raise ValueError("the reference does not run models with named inputs; compare with --engine-b")
    if request.guidance != 1.0:
        raise ValueError("the reference samples without guidance; compare with --engine-b")
    if sampler == "ddpm" and source.variance.startswith("learned"):
        raise ValueError("the reference does not support a learned variance; verify with --sampler ddim")


def _chain(
    source: Source, request: Request, t: list[int], denoise: Denoiser, samples: Sequence[int]
) -> Iterator[NDArray[np.float64]]:
    """The loops of `ddpm_ref` in float64, so that only the network rounds to float32."""
    shape = (len(samples), *source.image_shape)
    size, channels = int(np.prod(shape[1:])), shape[1]

    def model(x: Tensor, times: Tensor) -> Tensor:
        return torch.from_numpy(denoise(x.float().numpy(), times.numpy())[:, :channels]).double()

    def draw(row: int) -> Tensor:
        return torch.from_numpy(noise.normal(request.seed, samples, row, size)).reshape(shape).double()

    x, process = draw(noise.INITIAL_STEP), Diffusion(source.betas, source.prediction)
    if request.sampler == "ddpm":
        assert source.variance == "fixed_small" or source.variance == "fixed_large"
        steps = process.respaced(t).p_sample_loop(
            at_timesteps(model, t), x, draw, variance=source.variance, clip=source.clip
        )
    else:
        steps = process.ddim_sample_loop(model, x, draw, timesteps=t, eta=request.eta or 0.0, clip=source.clip)
    for image in steps:
        yield image.numpy()
