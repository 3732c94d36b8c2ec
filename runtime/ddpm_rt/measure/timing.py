"""Times that are measured in turn, and their median and spread."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

Timed = Callable[[], object]


class Spread(NamedTuple):
    """The median of some measurements, and their 10th and 90th percentiles."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "Spread":
        """Raises ValueError without values."""
        if not len(values):
            raise ValueError("no values were measured")
        low, median, high = np.quantile(np.asarray(values, np.float64), (0.1, 0.5, 0.9))
        return cls(float(median), float(low), float(high))


def seconds(run: Timed) -> float:
    """The time of one run."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


def in_turn(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The order of each round, without an end: it begins one place later every time, so that no name is always first.

    >>> rounds = in_turn(["a", "b"])
    >>> next(rounds), next(rounds)
    (('a', 'b'), ('b', 'a'))
    """
    first = 0
    while True:
        yield (*names[first:], *names[:first])
        first = (first + 1) % len(names)
