"""Compare two chains at every step. Both start from the same noise.

    comparison = compare(engine_side(a, bound), engine_side(b, bound), bound)
    judge(comparison, default_tolerance("fp32", "fp16")).ok

The second side is the trusted reference. This module does not depend on what runs either side.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..artifacts.card import ModelCard
from ..denoiser import Batch, Denoiser, Times
from ..engine import Engine
from ..errors import NotFiniteError
from ..requests.request import BoundRequest

PEAK = 2.0  # images lie in [-1, 1]
MAX_NUMBERS = 1 << 26  # most elements of all final images of one side: 256 MiB

Which = Literal["engine", "reference"]
RunChain = Callable[[Denoiser, Sequence[int]], Iterator[NDArray[Any]]]  # x [B, C, H, W] after every step, for samples


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a network, and a loop that samples with it and with the noise of `ddpm_rt.noise`."""

    network: Callable[[Sequence[int]], Denoiser]  # from sample numbers to a denoiser with the labels of these samples
    chain: RunChain
    card: ModelCard


def engine_side(engine: Engine, bound: BoundRequest) -> Side:
    """The side that runs an engine with the loop of this package."""

    def chain(denoise: Denoiser, samples: Sequence[int]) -> Iterator[Batch]:
        return (step.x for step in bound.run_on_host(denoise, samples))

    return Side(lambda samples: bound.denoiser(engine, samples), chain, engine.card)


class StepError(NamedTuple):
    """The differences between the sides at one step. A value is None if a side was not finite."""

    row: int  # of the step table, from 0
    t: float
    # The outputs of both networks for the x of the reference's chain: largest difference, and RMS of the worst image.
    out_max: float | None
    out_rms: float | None
    # x after the step, each side on its own chain: likewise.
    x_max: float | None
    x_rms: float | None


class NonFinite(NamedTuple):
    """A step at which a side produced NaN or infinity."""

    side: Which
    row: int
    t: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """The errors of every step, and the final images of both sides."""

    steps: tuple[StepError, ...]
    non_finite: tuple[NonFinite, ...]
    images: Batch  # the engine's, float32 [N, C, H, W]; NaN where its chain broke
    reference: Batch

    @property
    def psnr(self) -> NDArray[np.float64]:
        """PSNR of every final image in dB, peak 2, float64 [N]; infinite for equal images, NaN for broken chains."""
        squares = (self.images.astype(np.float64) - self.reference) ** 2
        with np.errstate(divide="ignore"):
            return np.asarray(10 * np.log10(PEAK**2 / per_image(squares).mean(axis=1)), np.float64)


def per_image(values: NDArray[Any]) -> NDArray[Any]:
    """`[N, C, ...]` as `[N, numbers]`."""
    return values.reshape(len(values), -1)


def compare(
    engine: Side, reference: Side, bound: BoundRequest, progress: Callable[[int], object] = lambda rows: None
) -> Comparison:
    """Sample the request on both sides. `progress` is called with the rows of the table that were compared or left out.

    A side's chain ends at its first value that is not finite, and the result says where. Raises ValueError if the
    images would need too much memory.
    """
    card = engine.card
    if (size := bound.request.count * math.prod(card.image_shape)) > MAX_NUMBERS:
        raise ValueError(f"count {bound.request.count} means {size} numbers, more than {MAX_NUMBERS}; compare fewer")
    rows = _Rows(bound.table.t)
    images, trusted = [], []
    for samples in bound.batches(bound.request.samples):
        with np.errstate(over="ignore", invalid="ignore"):  # values that are not finite are part of the result
            x, expected = _compare_batch(engine, reference, samples, rows, progress)
        blank = np.full((len(samples), *card.image_shape), np.nan, np.float32)
        images.append(blank if x is None else x.astype(np.float32))
        trusted.append(blank if expected is None else expected.astype(np.float32))
    broken = sorted(rows.broken, key=lambda place: (place.row, place.side))
    return Comparison(rows.errors(), tuple(broken), np.concatenate(images), np.concatenate(trusted))


def _compare_batch(
    engine: Side, reference: Side, samples: Sequence[int], rows: "_Rows", progress: Callable[[int], object]
) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """The final images of both sides; None for a broken chain. A step calls the engine twice and the reference once."""
    network = engine.network(samples)
    ours, theirs = _Recorded(network), _Recorded(reference.network(samples))
    chain = _while_finite(engine.chain(ours, samples), ours)
    trusted = _while_finite(reference.chain(theirs, samples), theirs)
    x: NDArray[Any] | None = None
    for row in range(len(rows.t)):
        expected = next(trusted, None)
        if expected is None:
            rows.note("reference", row)
            progress(len(rows.t) - row)
            return None, None
        out = network(theirs.x, theirs.t, *theirs.prev_x0)
        if np.isfinite(out).all():
            rows.out.add(row, out, theirs.out)
        else:
            rows.note("engine", row)
        alive = row == 0 or x is not None
        x = next(chain, None)
        if x is not None:
            rows.x.add(row, x, expected)
        elif alive:
            rows.note("engine", row)
        progress(1)
    return x, expected


class _Recorded:
    """A denoiser that keeps its last inputs and output."""

    def __init__(self, denoise: Denoiser) -> None:
        self.denoise = denoise

    def __call__(self, x: Batch, t: Times, /, *prev_x0: Batch) -> Batch:
        # copies: the loop overwrites its arrays in place
        self.x, self.t, self.prev_x0 = x.copy(), t.copy(), tuple(one.copy() for one in prev_x0)
        self.out = self.denoise(x, t, *prev_x0)
        return self.out


def _while_finite(chain: Iterator[NDArray[Any]], recorded: _Recorded) -> Iterator[NDArray[Any]]:
    try:
        for x in chain:
            if not (np.isfinite(recorded.out).all() and np.isfinite(np.asarray(x, np.float32)).all()):
                return
            yield x
    except NotFiniteError:
        return


class _Errors:
    """The errors of the worst image for every row; NaN if nothing was added to a row."""

    def __init__(self, rows: int) -> None:
        self.largest, self.rms = np.full(rows, np.nan), np.full(rows, np.nan)

    def add(self, row: int, found: NDArray[Any], expected: NDArray[Any]) -> None:
        difference = found.astype(np.float64) - expected
        rms = np.sqrt(per_image(difference**2).mean(axis=1)).max()
        self.largest[row] = np.fmax(self.largest[row], np.abs(difference).max())
        self.rms[row] = np.fmax(self.rms[row], rms)

    def at(self, row: int) -> tuple[float | None, float | None]:
        known = not np.isnan(self.largest[row])
        return (float(self.largest[row]), float(self.rms[row])) if known else (None, None)


class _Rows:
    """The errors and the non-finite steps, collected over all batches."""

    def __init__(self, t: Times) -> None:
        self.t, self.out, self.x = t, _Errors(len(t)), _Errors(len(t))
        self.broken: set[NonFinite] = set()

    def note(self, side: Which, row: int) -> None:
        self.broken.add(NonFinite(side, row, self.t[row].item()))

    def errors(self) -> tuple[StepError, ...]:
        return tuple(StepError(row, t, *self.out.at(row), *self.x.at(row)) for row, t in enumerate(self.t.tolist()))
