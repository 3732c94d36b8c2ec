"""The reverse loop on the host, shared by all samplers. Read this file first."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .denoiser import Batch, Denoiser
from .errors import NotFiniteError
from .exponential import exp
from .noise import INITIAL_STEP, normal, rows_of_noise
from .samplers.table import StepTable

Noise = Callable[[int], Batch]  # step (a row of the table, or INITIAL_STEP) -> standard normals [B, C, ...]


class Step(NamedTuple):
    """The state after a reverse step. The arrays belong to the loop, which overwrites them at the next step.

    The caller may change `x` in place before the next step; inpainting does.
    """

    row: int  # of the step table, from 0
    t: float  # the time given to the network; an int where the table has whole timesteps
    x: Batch  # the images after this step; after the last row, the result
    x0: Batch  # the predicted data, clipped


def trajectory(
    denoise: Denoiser,
    table: StepTable,
    shape: tuple[int, ...],
    *,
    seed: int,
    samples: Sequence[int],
    clip: tuple[float, float] | None = (-1.0, 1.0),
    noise: Noise | None = None,
    start: Batch | None = None,
    first_row: int = 0,
    initial_scale: float = 1.0,
    self_conditioned: bool = False,
) -> Iterator[Step]:
    """Run `table` from noise to images and yield every step; `shape` is C, ..., `samples` are sample numbers.

    Each operation below is one rounding to float32, in the order written; the coefficients are float64 until here.
    A network with a learned variance says it in as many channels again, after those of the image.
    `noise` replaces `ddpm_rt.noise`, for comparing with other samplers; `start` [B, C, ...] replaces what the chain
    begins with, `initial_scale` times noise (an image brought to the level of the first row, say); `first_row` leaves
    out the rows before it, and the noise of the others stays what it was. A `self_conditioned` network is called as
    `denoise(x, t, x0)`, with the x0 of the step before, and zeros in the first step. Raises NotFiniteError, naming the
    sample and the step, when the network's output is not finite, or the images after the last step are not.
    """
    steps = _steps_with_noise(table, first_row)
    draw = _addressed(seed, samples, shape, steps) if noise is None else map(noise, steps)
    initial = next(draw)  # drawn even if `start` is given: a `noise` with state must advance
    first = np.multiply(np.float32(initial_scale), initial, dtype=np.float32) if start is None else start
    x = np.array(first, np.float32).reshape(len(samples), *shape)
    x0, prev_x0, part = np.zeros_like(x), np.zeros_like(x), np.empty_like(x)
    columns = np.stack(table[1:], axis=1).astype(np.float32)
    times = np.repeat(table.t[:, None], len(samples), axis=1)
    low, high = (None, None) if clip is None else map(np.float32, clip)
    call = (lambda x, t: denoise(x, t, x0)) if self_conditioned else denoise
    for row, numbers in enumerate(columns[first_row:], first_row):
        from_x, from_out, mean_x0, mean_x, mean_out, mean_prev, sigma, from_spread = numbers
        t = table.t[row].item()
        output = call(x, times[row])
        if not np.isfinite(output).all():
            raise not_finite("the network's output", output, samples, row, t)
        out, spread = output[:, : shape[0]], output[:, shape[0] :]
        prev_x0, x0 = x0, prev_x0
        np.multiply(from_x, x, out=x0)
        x0 += np.multiply(from_out, out, out=part)
        if low is not None and high is not None:
            np.minimum(np.maximum(x0, low, out=x0), high, out=x0)  # np.clip does the same, more slowly
        x *= mean_x
        x += np.multiply(mean_x0, x0, out=part)
        if mean_out:
            x += np.multiply(mean_out, out, out=part)
        if mean_prev:
            x += np.multiply(mean_prev, prev_x0, out=part)
        if sigma:
            z = next(draw).reshape(x.shape)
            np.multiply(sigma, z, out=part)
            if from_spread:
                part *= exp(from_spread * spread)
            x += part
        if row == table.steps - 1 and not np.isfinite(x).all():  # no later call of the network would show this
            raise not_finite("the image", x, samples, row, t)
        yield Step(row, t, x, x0)


def not_finite(what: str, values: Batch, samples: Sequence[int], row: int, t: float) -> NotFiniteError:
    """What to raise when values `[B, ...]`, one of each sample, are not all finite after a row of the table."""
    bad = int(np.isfinite(values).reshape(len(values), -1).all(axis=1).argmin())
    return NotFiniteError(f"{what} of sample {samples[bad]} is not finite at step {row}, t = {t}; check the model")


def _steps_with_noise(table: StepTable, first_row: int) -> list[int]:
    rows = np.flatnonzero(table.sigma.astype(np.float32)).tolist()
    return [INITIAL_STEP, *(row for row in rows if row >= first_row)]


def _addressed(
    seed: int, samples: Sequence[int], shape: tuple[int, ...], steps: Sequence[int]
) -> Iterator[NDArray[np.float32]]:
    size = int(np.prod(shape))
    yield normal(seed, samples, steps[0], size)
    yield from rows_of_noise(seed, samples, steps[1:], size)
