"""Compare two chains from the same noise at every step.

    comparison = compare(engine_side(a, bound), engine_side(b, bound), bound)
    judge(comparison, default_tolerance("fp32", "fp16")).ok

The second side is the reference, which is trusted. This module does not know what runs either side.
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
from ..host_loop import trajectory
from ..requests.request import BoundRequest

PEAK = 2.0  # images lie in [-1, 1]
MAX_NUMBERS = 1 << 26  # of the final images of a side: 256 MiB

Which = Literal["engine", "reference"]
RunChain = Callable[[Denoiser, Sequence[int]], Iterator[NDArray[Any]]]  # x [B, C, H, W] after every step, for samples


@dataclass(frozen=True)
class Side:
    """One side of a comparison: a network, and the code that samples with it from `ddpm_rt.noise`."""

    network: Callable[[Sequence[int]], Denoiser]  # sample numbers to a denoiser with their labels bound
    chain: RunChain
    card: ModelCard


def engine_side(engine: Engine, bound: BoundRequest) -> Side:
    """The side of an engine that this package samples."""
    card = engine.card

    def chain(denoise: Denoiser, samples: Sequence[int]) -> Iterator[Batch]:
        table, clip = bound.table, bound.sampler.clip
        steps = trajectory(denoise, table, card.image_shape, seed=bound.seed, samples=samples, clip=clip)
        return (step.x for step in steps)

    return Side(lambda samples: bound.denoiser(engine, samples), chain, card)


class StepError(NamedTuple):
    """The differences between the sides at one step; None where a side was not finite."""

    row: int  # of the step table, from 0
    t: int
    out_max: float | None  # of the outputs, when both networks get the x of the reference's chain: largest,
    out_rms: float | None  # and root mean square of the worst image
    x_max: float | None  # of x after the step, each side on its own chain
    x_rms: float | None


class NonFinite(NamedTuple):
    """A step at which a side gave NaN or infinity."""

    side: Which
    row: int
    t: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """The errors of every step, and the final images of both sides."""

    steps: tuple[StepError, ...]
    non_finite: tuple[NonFinite, ...]
    images: Batch  # the engine's, float32 [N, C, H, W]; NaN where its chain broke
    reference: Batch

    @property
    def psnr(self) -> NDArray[np.float64]:
        """PSNR of every final image in dB, peak 2, float64 [N]; infinite for equal images, NaN where a chain broke."""
        squares = (self.images.astype(np.float64) - self.reference) ** 2
        with np.errstate(divide="ignore"):
            return np.asarray(10 * np.log10(PEAK**2 / squares.mean(axis=(1, 2, 3))), np.float64)


def compare(
    engine: Side, reference: Side, bound: BoundRequest, progress: Callable[[int], object] = lambda rows: None
) -> Comparison:
    """Sample the request on both sides. `progress` is called with the rows of the table that were compared or left out.

    Values that are not finite end their side's chain and are part of the result. Raises ValueError for more images
    than memory should hold."""
    card = engine.card
    if (size := bound.request.count * math.prod(card.image_shape)) > MAX_NUMBERS:
        raise ValueError(f"count {bound.request.count} means {size} numbers, more than {MAX_NUMBERS}; compare fewer")
    rows = _Rows(bound.table.t)
    images, trusted = [], []
    for samples in bound.batches(bound.request.samples):
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is part of the result
            x, expected = _compare_batch(engine, reference, samples, rows, progress)
        blank = np.full((len(samples), *card.image_shape), np.nan, np.float32)
        images.append(blank if x is None else x.astype(np.float32))
        trusted.append(blank if expected is None else expected.astype(np.float32))
    broken = sorted(rows.broken, key=lambda place: (place.row, place.side))
    return Comparison(rows.errors(), tuple(broken), np.concatenate(images), np.concatenate(trusted))


def _compare_batch(
    engine: Side, reference: Side, samples: Sequence[int], rows: "_Rows", progress: Callable[[int], object]
) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """The final images; None for a chain that broke. A step calls the engine twice and the reference once."""
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
        out = network(theirs.x, theirs.t)
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

    def __call__(self, x: Batch, t: Times, /) -> Batch:
        self.x, self.t = x.copy(), t.copy()  # the loop overwrites its x in place
        self.out = self.denoise(x, t)
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
    """The errors of every row, of the worst image; NaN where nothing was added."""

    def __init__(self, rows: int) -> None:
        self.largest, self.rms = np.full(rows, np.nan), np.full(rows, np.nan)

    def add(self, row: int, found: NDArray[Any], expected: NDArray[Any]) -> None:
        difference = found.astype(np.float64) - expected
        rms = np.sqrt((difference**2).mean(axis=(1, 2, 3))).max()
        self.largest[row] = np.fmax(self.largest[row], np.abs(difference).max())
        self.rms[row] = np.fmax(self.rms[row], rms)

    def at(self, row: int) -> tuple[float | None, float | None]:
        known = not np.isnan(self.largest[row])
        return (float(self.largest[row]), float(self.rms[row])) if known else (None, None)


class _Rows:
    """The errors and the broken steps, collected over the batches."""

    def __init__(self, t: Times) -> None:
        self.t, self.out, self.x = t, _Errors(len(t)), _Errors(len(t))
        self.broken: set[NonFinite] = set()

    def note(self, side: Which, row: int) -> None:
        self.broken.add(NonFinite(side, row, int(self.t[row])))

    def errors(self) -> tuple[StepError, ...]:
        return tuple(StepError(row, int(t), *self.out.at(row), *self.x.at(row)) for row, t in enumerate(self.t))
