"""The Python interface: images from other images, between samples, and from given noise."""

from typing import Any

import numpy as np

from .api import draw
from .denoiser import Batch
from .engines.engine_options import EngineOptions
from .engines.opening import Model
from .requests.edit import Edit, Mask
from .requests.interpolation import Between
from .requests.inversion import FromNoise, Inversion
from .requests.request import Request, as_batch, extended


def from_image(
    images: Batch,
    engine: Model = None,
    *,
    strength: float = 0.5,
    request: Request | None = None,
    options: EngineOptions | None = None,
) -> Batch:
    """Draw images like `images`: float32 `[count, C, H, W]`; all else is as `request` says.

    images float32 `[C, H, W]` or `[N, C, H, W]` in [-1, 1], one for all samples or one a sample. `strength` is the
    share of the steps that is run: little changes little, 1 is from noise alone and the same as `sample`.

    >>> ddpm_rt.from_image(digit, strength=0.4, request=ddpm_rt.Request(seed=3, count=4)).shape
    (4, 1, 28, 28)

    Raises ValueError for a strength outside (0, 1] or images that do not fit, DdpmRtError for a model that cannot be
    used. SDEdit, Meng et al. 2022.
    """
    return draw(extended(Edit, request, images=as_batch(images), strength=strength), engine, options)


def inpaint(
    images: Batch,
    mask: Mask,
    engine: Model = None,
    *,
    strength: float = 1.0,
    resample: int = 1,
    request: Request | None = None,
    options: EngineOptions | None = None,
) -> Batch:
    """Draw what `mask` marks, and keep the rest of `images` to the bit: float32 `[count, C, H, W]`.

    images as for `from_image`; mask bool `[H, W]`, True is drawn anew. `resample` goes every step that often, so that
    the new part has time to follow the old; it costs as many times the calls.

    >>> ddpm_rt.inpaint(digit, mask, resample=4, request=ddpm_rt.Request(sampler="ddpm", steps=100)).shape
    (16, 1, 28, 28)

    Raises ValueError for a mask or images that do not fit, DdpmRtError for a model that cannot be used. RePaint,
    Lugmayr et al. 2022, algorithm 1, with jumps of one step.
    """
    asked: dict[str, Any] = {
        "images": as_batch(images),
        "mask": np.asarray(mask, np.bool_),
        "strength": strength,
        "resample": resample,
    }
    return draw(extended(Edit, request, **asked), engine, options)


def interpolate(
    start: int,
    end: int,
    engine: Model = None,
    *,
    frames: int = 8,
    request: Request | None = None,
    options: EngineOptions | None = None,
) -> Batch:
    """Frames from sample `start` to sample `end`: float32 `[frames, C, H, W]`, the first and last being the two.

    `request` says the seed and the sampler; its `first` and `count` do not matter.

    >>> ddpm_rt.interpolate(0, 3, frames=5).shape
    (5, 1, 28, 28)

    Raises ValueError for numbers out of range, DdpmRtError for a model that cannot be used. DDIM, Song et al. 2021,
    section 5.3, with the noise of every step between the two as well, so that both ends are samples with any sampler.
    """
    return draw(extended(Between, request, start=start, end=end, first=0, count=frames), engine, options)


def invert(
    images: Batch, engine: Model = None, *, request: Request | None = None, options: EngineOptions | None = None
) -> Batch:
    """The x_T from which DDIM draws `images`, `[C, H, W]` or `[N, C, H, W]`: float32 `[N, C, H, W]`.

    `from_noise` with the same request gives them back, the better the more steps there are. `request` must be one of
    ddim with eta 0; its seed, `first` and `count` do not matter.

    >>> x_T = ddpm_rt.invert(digits, request=ddpm_rt.Request(steps=100))
    >>> again = ddpm_rt.from_noise(x_T, request=ddpm_rt.Request(steps=100))

    Raises ValueError for another sampler or images that do not fit, DdpmRtError for a model that cannot be used.
    """
    array = as_batch(images)
    return draw(extended(Inversion, request, noise=array, first=0, count=len(array)), engine, options)


def from_noise(
    noise: Batch, engine: Model = None, *, request: Request | None = None, options: EngineOptions | None = None
) -> Batch:
    """Draw images from a given x_T, float32 `[C, H, W]` or `[N, C, H, W]`: float32 `[N, C, H, W]`.

    Noise of later steps is that of samples 0 to N - 1.

    Raises ValueError when it does not fit, DdpmRtError for a model that cannot be used.
    """
    array = as_batch(noise)
    return draw(extended(FromNoise, request, noise=array, first=0, count=len(array)), engine, options)
