"""The Python interface of edits: image to image, inpainting, interpolation, inversion, and given noise."""

from typing import Any

import numpy as np

from .denoiser import Batch
from .engine import Engine
from .engines.engine_options import EngineOptions
from .engines.opening import DEFAULT, Model, opened
from .numbers import as_float32, as_numbers
from .requests.edit import Edit, Mask
from .requests.interpolation import Between
from .requests.inversion import FromNoise, Inversion
from .requests.request import Request, extended


def from_image(
    images: Batch,
    engine: Model = None,
    *,
    strength: float = 0.5,
    request: Request | None = None,
    options: EngineOptions | None = None,
) -> Batch:
    """Draw images like `images`, float32 `[count, C, ...]`. `request` has the sampler, steps, seed and so on.

    `images` is float32 `[C, ...]`, one image for all samples, or `[N, C, ...]`, one for each sample, in [-1, 1].
    `strength` is the share of the steps that run. A small strength changes little; 1 starts from noise and equals
    `sample`.

    >>> ddpm_rt.from_image(digit, strength=0.4, request=ddpm_rt.Request(seed=3, count=4)).shape
    (4, 1, 28, 28)

    Raises ValueError for a strength outside (0, 1] or images of another shape, DdpmRtError for an unusable model. The
    method is SDEdit (Meng et al. 2022).
    """
    with opened(engine, options or DEFAULT) as denoise:
        batch = _as_batch("the images are", images, denoise)
        return extended(Edit, request, images=batch, strength=strength).drawn(denoise)


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
    """Redraw the pixels that `mask` marks, and keep the others bit-equal: float32 `[count, C, ...]`.

    `images` is as in `from_image`. `mask` is bool `[H, W]`, where True is redrawn. `resample` repeats every step that
    often, so that the new part adapts to the old part. The number of network calls grows by the same factor.

    >>> ddpm_rt.inpaint(digit, mask, resample=4, request=ddpm_rt.Request(sampler="ddpm", steps=100)).shape
    (16, 1, 28, 28)

    Raises ValueError for a mask or images of another shape, DdpmRtError for an unusable model. The method is RePaint
    (Lugmayr et al. 2022, algorithm 1) with jumps of one step.
    """
    asked: dict[str, Any] = {"mask": _as_mask(mask), "strength": strength, "resample": resample}
    with opened(engine, options or DEFAULT) as denoise:
        batch = _as_batch("the images are", images, denoise)
        return extended(Edit, request, images=batch, **asked).drawn(denoise)


def interpolate(
    start: int,
    end: int,
    engine: Model = None,
    *,
    frames: int = 8,
    request: Request | None = None,
    options: EngineOptions | None = None,
) -> Batch:
    """Interpolate from sample `start` to sample `end`: float32 `[frames, C, ...]`. Both samples are included.

    `request` has the seed and the sampler; its `first` and `count` are ignored.

    >>> ddpm_rt.interpolate(0, 3, frames=5).shape
    (5, 1, 28, 28)

    Raises ValueError for numbers out of range, DdpmRtError for an unusable model. The method is that of DDIM (Song et
    al. 2021, section 5.3). The noise of every step is also interpolated, so that both ends are samples of any sampler.
    """
    with opened(engine, options or DEFAULT) as denoise:
        return extended(Between, request, start=start, end=end, first=0, count=frames).drawn(denoise)


def invert(
    images: Batch, engine: Model = None, *, request: Request | None = None, options: EngineOptions | None = None
) -> Batch:
    """Find the x_T from which DDIM draws `images`, `[C, ...]` or `[N, C, ...]`: float32 `[N, C, ...]`.

    `from_noise` with the same request reconstructs the images. More steps reduce the error. The sampler of `request`
    must be ddim with eta 0; its seed, `first` and `count` are ignored.

    >>> x_T = ddpm_rt.invert(digits, request=ddpm_rt.Request(steps=100))
    >>> again = ddpm_rt.from_noise(x_T, request=ddpm_rt.Request(steps=100))

    Raises ValueError for another sampler or images of another shape, DdpmRtError for an unusable model.
    """
    with opened(engine, options or DEFAULT) as denoise:
        batch = _as_batch("the images are", images, denoise)
        return extended(Inversion, request, noise=batch, first=0, count=len(batch)).drawn(denoise)


def from_noise(
    noise: Batch, engine: Model = None, *, request: Request | None = None, options: EngineOptions | None = None
) -> Batch:
    """Draw images from a given x_T, float32 `[C, ...]` or `[N, C, ...]`: float32 `[N, C, ...]`.

    Later steps use the noise of samples 0 to N - 1.

    Raises ValueError for noise of another shape, DdpmRtError for an unusable model.
    """
    with opened(engine, options or DEFAULT) as denoise:
        batch = _as_batch("the noise is", noise, denoise)
        return extended(FromNoise, request, noise=batch, first=0, count=len(batch)).drawn(denoise)


def _as_batch(said: str, samples: Batch, engine: Engine) -> Batch:
    """Float32 `[N, C, ...]` from `[N, C, ...]`, or from one sample `[C, ...]` of the shape that `engine` draws.

    Raises ValueError, which starts with `said`, for anything but finite numbers of one of these shapes.
    """
    array, shape = as_float32(said, samples), engine.card.image_shape
    if array.ndim not in (len(shape), len(shape) + 1) or not array.size:
        wanted = ", ".join(map(str, shape))
        raise ValueError(f"{said} {list(array.shape)} but must be [{wanted}] or [count, {wanted}]")
    return array[None] if array.ndim == len(shape) else array


def _as_mask(mask: Mask) -> Mask:
    """The mask as bool. Raises ValueError for numbers between black and white, which need a threshold."""
    array = as_numbers("the mask is", mask)
    if array.dtype != np.bool_ and not any(np.isin(array, (0, white)).all() for white in (1, 255)):
        raise ValueError("the mask must be of booleans, or of 0 and 1; compare it with a threshold, such as mask > 0.5")
    return np.asarray(array, np.bool_)
