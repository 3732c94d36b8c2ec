"""The error curve as geometry, which the PNG and the HTML page draw alike.

Places are shares of the box, from its top left; values stand on a logarithmic axis of whole decades.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from .comparison import StepError
from .report import Report

LOWEST = 1e-9  # nothing in float32 is as near as this without being equal
TICKS = 6  # at most, of t

Point = tuple[float, float]


class Line(NamedTuple):
    """One curve: pieces, because it ends where a value is not finite."""

    label: str
    pieces: list[list[Point]]


@dataclass(frozen=True)
class Curve:
    """The largest error of every step, of `out` and of `x`, and the tolerance if it is one of x."""

    steps: tuple[StepError, ...]
    limit: float | None
    broken: tuple[int, ...]  # steps where a side was not finite
    low: int  # the axis runs from 10^low
    high: int  # to 10^high

    @classmethod
    def of(cls, report: Report) -> "Curve":
        steps, limit = report.comparison.steps, report.tolerance.max_x
        values = [value for step in steps for value in (step.out_max, step.x_max) if value] + [limit or 1e-4]
        low = math.floor(math.log10(max(min(values), LOWEST)))
        high = math.ceil(math.log10(max(*values, LOWEST)))
        broken = tuple(place.row for place in report.comparison.non_finite)
        return cls(steps, limit, broken, low, max(high, low + 1))

    def lines(self) -> list[Line]:
        return [
            Line("network alone: |difference of out|, the same x into both", self._pieces("out_max")),
            Line("whole chain: |difference of x|", self._pieces("x_max")),
        ]

    def _pieces(self, name: str) -> list[list[Point]]:
        places = [(step.row, getattr(step, name)) for step in self.steps]
        return [
            [(self.across(row), self.down(value)) for row, value in group]
            for known, group in groupby(places, key=lambda place: place[1] is not None)
            if known
        ]

    def across(self, row: int) -> float:
        return row / max(len(self.steps) - 1, 1)

    def down(self, value: float) -> float:
        """0 is the top. What is below the axis, equality too, lies on its foot."""
        exponent = math.log10(max(value, 10.0**self.low))
        return (self.high - exponent) / (self.high - self.low)

    def decades(self) -> Iterator[tuple[float, str]]:
        """Where the powers of ten stand, and what they are called."""
        every = -(-(self.high - self.low) // 8)
        for exponent in range(self.low, self.high + 1, every):
            yield self.down(10.0**exponent), f"1e{exponent}"

    def times(self) -> Iterator[tuple[float, str]]:
        """Where some of the steps stand, and their t."""
        last = len(self.steps) - 1
        for row in sorted({round(i * last / (TICKS - 1)) for i in range(TICKS)}):
            yield self.across(row), str(self.steps[row].t)
