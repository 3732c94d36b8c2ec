"""The reverse loop on the host, shared by all samplers. Read this file first."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .denoiser import Batch, Denoiser
from .errors import NotFiniteError
from .exponential import exp
from .limits import check_count, check_number
from .noise import INITIAL_STEP, normal, rows_of_noise
from .samplers.table import StepTable

Numbers = np.float32 | NDArray[np.float32]
Noise = Callable[[int], Batch]  # step (a row of the table, or INITIAL_STEP) -> standard normals [B, C, ...]


class Step(NamedTuple):
    """The state after a reverse step. The arrays belong to the loop, which overwrites them at the next step.

    The caller may change `x` in place before the next step; inpainting does.
    """

    row: int  # of the step table, from 0
    t: float  # the time given to the network; an int where the table has whole timesteps
    x: Batch  # the images after this step; after the last row, the result
    x0: Batch  # the predicted data, clipped


class Beginning(NamedTuple):
    """Where the chains of a batch begin: by default with noise, at the first row."""

    x: Batch | None = None  # [B, C, ...], instead of scaled noise: an image at the noise level of `row`, say
    row: int = 0  # the rows before it are left out; the noise of the others stays what it was
    scale: float = 1.0  # of the initial noise


FROM_NOISE = Beginning()


def trajectory(
    denoise: Denoiser,
    table: StepTable,
    shape: tuple[int, ...],
    *,
    seed: int,
    samples: Sequence[int],
    clip: tuple[float, float] | None = (-1.0, 1.0),
    noise: Noise | None = None,
    begin: Beginning = FROM_NOISE,
    self_conditioned: bool = False,
) -> Iterator[Step]:
    """Run `table` from noise to images and yield every step; `shape` is C, ..., `samples` are sample numbers.

    Each operation below is one rounding to float32, in the order written; the coefficients are float64 until here.
    A network with a learned variance says it in as many channels again, after those of the image.
    `noise` replaces `ddpm_rt.noise`, for comparing with other samplers. A `self_conditioned` network is called as
    `denoise(x, t, x0)`, with the x0 of the step before, and zeros in the first step. Raises NotFiniteError, naming the
    sample and the step, when the network's output is not finite, or the images after the last step are not; ValueError
    for a beginning that does not fit, and for an output of another shape.
    """
    _check_beginning(begin, table, (len(samples), *shape))
    steps = _steps_with_noise(table, begin.row)
    draw = _addressed(seed, samples, shape, steps) if noise is None else map(noise, steps)
    initial = next(draw)  # drawn even if x is given: a `noise` with state must advance
    first = np.multiply(np.float32(begin.scale), initial, dtype=np.float32) if begin.x is None else begin.x
    x = np.array(first, np.float32).reshape(len(samples), *shape)
    x0, prev_x0, part = np.zeros_like(x), np.zeros_like(x), np.empty_like(x)
    columns = np.stack(table[1:], axis=1).astype(np.float32)
    times = np.repeat(table.t[:, None], len(samples), axis=1)
    bounds = None if clip is None else (np.float32(clip[0]), np.float32(clip[1]))
    learned = bool((table.log_sigma_from_spread * table.sigma).any())
    call = (lambda x, t: denoise(x, t, x0)) if self_conditioned else denoise
    for row, numbers in enumerate(columns[begin.row :], begin.row):
        row_numbers, t = RowNumbers(*numbers), table.t[row].item()
        output = np.asarray(call(x, times[row]))
        _check_output(output, x, learned)
        if not np.isfinite(output).all():
            raise not_finite("the network's output", output, samples, row, t)
        out, spread = output[:, : shape[0]], output[:, shape[0] :]
        prev_x0, x0 = x0, prev_x0
        update(row_numbers, bounds, out, State(x, x0, prev_x0, part))
        if row_numbers.sigma:
            add_noise(row_numbers, spread, next(draw).reshape(x.shape), x, part)
        if row == table.steps - 1 and not np.isfinite(x).all():  # no later call of the network would show this
            raise not_finite("the image", x, samples, row, t)
        yield Step(row, t, x, x0)


class RowNumbers(NamedTuple):
    """A row of a table in float32: the columns after t. Each is a number, or `[B, 1, ...]` with one for each image."""

    x0_from_x: Numbers
    x0_from_out: Numbers
    mean_from_x0: Numbers
    mean_from_x: Numbers
    mean_from_out: Numbers
    mean_from_prev_x0: Numbers
    sigma: Numbers
    log_sigma_from_spread: Numbers


class State(NamedTuple):
    """The images of a batch between two calls of the network, float32 `[B, C, ...]`."""

    x: Batch
    x0: Batch  # is written, not read
    prev_x0: Batch  # of the row before
    part: Batch  # room for a product


def update(row: RowNumbers, clip: tuple[Numbers, Numbers] | None, out: Batch, state: State) -> None:
    """Set x and x0 to their values after a row, without the row's noise. `clip` may be a range for each image."""
    x, x0, prev_x0, part = state
    np.multiply(row.x0_from_x, x, out=x0)
    x0 += np.multiply(row.x0_from_out, out, out=part)
    if clip is not None:
        _clip(x0, *clip)
    x *= row.mean_from_x
    x += np.multiply(row.mean_from_x0, x0, out=part)
    _add(row.mean_from_out, out, x, part)
    _add(row.mean_from_prev_x0, prev_x0, x, part)


def add_noise(row: RowNumbers, spread: Batch, z: Batch, x: Batch, part: Batch) -> None:
    """Add a row's noise to x: sigma z, times the learned share of the deviation where a row has one."""
    np.multiply(row.sigma, z, out=part)
    learned = _nonzero(row.log_sigma_from_spread)
    if learned is not False:
        np.multiply(part, exp(row.log_sigma_from_spread * spread), out=part, where=learned)
    np.add(x, part, out=x, where=_nonzero(row.sigma))


def _clip(x0: Batch, low: Numbers, high: Numbers) -> None:
    if low.ndim == 0 and low and high:
        np.minimum(np.maximum(x0, low, out=x0), high, out=x0)  # the same, faster
    else:  # minimum and maximum may turn -0 into a bound of 0, or not, by the alignment of the array
        np.copyto(x0, low, where=x0 < low)
        np.copyto(x0, high, where=x0 > high)


def _add(factor: Numbers, values: Batch, x: Batch, part: Batch) -> None:
    """x += factor values; a factor of 0 adds nothing, because -0 + 0 would be +0."""
    counts = _nonzero(factor)
    if counts is not False:
        np.add(x, np.multiply(factor, values, out=part), out=x, where=counts)


def _nonzero(factor: Numbers) -> bool | NDArray[np.bool_]:
    """Where a factor is not 0: True or False where that holds for all images."""
    if factor.ndim == 0:
        return bool(factor)
    counts: NDArray[np.bool_] = factor != 0
    return counts if counts.any() and not counts.all() else bool(counts.any())


def not_finite(what: str, values: Batch, samples: Sequence[int], row: int, t: float) -> NotFiniteError:
    """What to raise when values `[B, ...]`, one of each sample, are not all finite after a row of the table."""
    bad = int(np.isfinite(values).reshape(len(values), -1).all(axis=1).argmin())
    return NotFiniteError(f"{what} of sample {samples[bad]} is not finite at step {row}, t = {t}; check the model")


def _check_beginning(begin: Beginning, table: StepTable, shape: tuple[int, ...]) -> None:
    """Raises ValueError unless the table has the row, and x is of `shape`."""
    check_count("the first row", begin.row, table.steps - 1, least=0)
    check_number("the scale of the initial noise", begin.scale)
    if begin.x is not None and np.shape(begin.x) != shape:
        raise ValueError(f"x at the beginning is {list(np.shape(begin.x))} but must be {list(shape)}")


def _check_output(output: Batch, x: Batch, learned: bool) -> None:
    """Raises ValueError for an output that NumPy would broadcast to the images, or cut."""
    twice = (x.shape[0], 2 * x.shape[1], *x.shape[2:])  # a network with a learned variance may run without it
    if output.shape not in ((twice,) if learned else (x.shape, twice)) or output.dtype.kind not in "fiu":
        wanted = list(twice) if learned else list(x.shape)
        raise ValueError(f"the denoiser gives {output.dtype} {list(output.shape)} but must give float32 {wanted}")


def _steps_with_noise(table: StepTable, first_row: int) -> list[int]:
    rows = np.flatnonzero(table.sigma.astype(np.float32)).tolist()
    return [INITIAL_STEP, *(row for row in rows if row >= first_row)]


def _addressed(
    seed: int, samples: Sequence[int], shape: tuple[int, ...], steps: Sequence[int]
) -> Iterator[NDArray[np.float32]]:
    size = int(np.prod(shape))
    yield normal(seed, samples, steps[0], size)
    yield from rows_of_noise(seed, samples, steps[1:], size)
