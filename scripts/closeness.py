"""Statistics of sets of digits, for `evaluate.py`, in NumPy and float64."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Digits = NDArray[np.uint8]  # [N, 28, 28]


@dataclass(frozen=True)
class Spread:
    """The mean and the deviation of a figure over several disjoint sets."""

    mean: float
    deviation: float  # of a single set, not of the mean
    draws: int

    @classmethod
    def of(cls, values: list[float]) -> "Spread":
        deviation = float(np.std(values, ddof=1)) if len(values) > 1 else float("nan")
        return cls(float(np.mean(values)), deviation, len(values))


@dataclass(frozen=True)
class Confidence:
    """The probability that the classifier assigns to its decision."""

    mean: float
    below_90: float  # share of the images
    below_50: float

    @classmethod
    def of(cls, probabilities: Floats) -> "Confidence":
        top = probabilities.max(1)
        return cls(float(top.mean()), float((top < 0.9).mean()), float((top < 0.5).mean()))


@dataclass(frozen=True)
class Classes:
    """The number of images per class, and measures of the difference from the expected shares."""

    counts: tuple[int, ...]
    smallest: float  # share of the rarest class
    largest: float
    total_variation: float  # 0: the same shares; 1: no class in common
    chi_square: float  # Pearson's statistic; (classes - 1) +- sqrt(2 (classes - 1)) for fair draws

    @classmethod
    def of(cls, found: NDArray[np.integer], expected: Floats) -> "Classes":
        """The balance of class numbers `found` `[N]` against `expected`, the shares of all classes, all above 0."""
        counts = np.bincount(found, minlength=len(expected))
        shares = counts / len(found)
        return cls(
            tuple(int(count) for count in counts),
            float(shares.min()),
            float(shares.max()),
            float(np.abs(shares - expected).sum() / 2),
            float((len(found) * (shares - expected) ** 2 / expected).sum()),
        )


class Nearest(NamedTuple):
    """For each image of a set, the most similar one of another set."""

    index: NDArray[np.int64]  # [N]
    distance: Floats  # [N], L2 over pixels in [0, 1]


def nearest(images: Digits, among: Digits, *, chunk: int = 10_000) -> Nearest:
    """The nearest of `among` for each of `images`; among equals, the one with the lowest index."""
    wanted = images.reshape(len(images), -1).astype(np.float32)
    index = np.zeros(len(images), np.int64)
    square = np.full(len(images), np.inf)
    for first in range(0, len(among), chunk):
        part = among[first : first + chunk].reshape(-1, wanted.shape[1]).astype(np.float32)
        # |a - b|^2 in bytes: every sum is an integer below 2^26, so float32 picks the neighbour to 4 in 10^7
        squares = (part**2).sum(1) - 2.0 * wanted @ part.T + (wanted**2).sum(1)[:, None]
        best = squares.argmin(1)
        closer = squares[np.arange(len(best)), best] < square
        index[closer] = first + best[closer]
        square[closer] = squares[np.arange(len(best)), best][closer]
    difference = images.reshape(len(images), -1).astype(np.float64) - among[index].reshape(len(images), -1)
    return Nearest(index, np.sqrt((difference**2).sum(1)) / 255.0)


@dataclass(frozen=True)
class Distances:
    """Distances to the nearest neighbour, in the unit of `Nearest`."""

    smallest: float
    percent_1: float
    median: float
    mean: float

    @classmethod
    def of(cls, distance: Floats) -> "Distances":
        percent_1, median = np.quantile(distance, (0.01, 0.5))
        return cls(float(distance.min()), float(percent_1), float(median), float(distance.mean()))


def degraded(images: Digits) -> Iterator[tuple[str, Digits]]:
    """Names and degraded versions of real images: a scale for Frechet distances."""
    for sigma in (0.5, 1.0):
        yield f"blurred, sigma {sigma} pixels", blurred(images, sigma)
    for sigma in (0.1, 0.3):
        yield f"noised, sigma {sigma} of the range", noised(images, sigma)
    for share in (0.05, 0.2, 0.5):
        yield f"{share:.0%} overlaid with another digit", overlaid(images, share)


def blurred(images: Digits, sigma: float) -> Digits:
    """The images convolved with a Gaussian of `sigma` pixels; outside is black."""
    side = images.shape[1]
    offset = np.arange(side)[:, None] - np.arange(side)
    kernel = np.exp(-0.5 * (offset / sigma) ** 2)
    kernel /= kernel[side // 2].sum()
    return np.rint(np.clip(kernel @ images.astype(np.float64) @ kernel.T, 0, 255)).astype(np.uint8)


def noised(images: Digits, sigma: float) -> Digits:
    """The images with Gaussian noise added; `sigma` is a share of the range."""
    noise = np.random.default_rng(0).standard_normal(images.shape) * sigma * 255
    return np.rint(np.clip(images + noise, 0, 255)).astype(np.uint8)


def overlaid(images: Digits, share: float) -> Digits:
    """The images, with another digit on top of the first `share` of them: malformed digits for a classifier."""
    count = round(share * len(images))
    result = images.copy()
    result[:count] = np.maximum(images[:count], np.roll(images, 1, axis=0)[:count])
    return result
