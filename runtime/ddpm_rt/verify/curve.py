"""The geometry of the error curve, which the PNG and the HTML page share.

Positions are fractions of the plot box, from its top left corner. The value axis is logarithmic, in whole decades.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

from .comparison import StepError
from .report import Report

LOWEST = 1e-9  # bottom of the value axis: far below the spacing of float32 values near 1
TICKS = 6  # most ticks on the t axis

Point = tuple[float, float]


class Line(NamedTuple):
    """One curve, split into pieces at values that are not finite."""

    label: str
    pieces: list[list[Point]]


@dataclass(frozen=True)
class Curve:
    """The largest error of `out` and of `x` at every step, and the tolerance on x if there is one."""

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
            Line("network alone: |difference of out| for the same x", self._pieces("out_max")),
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
        """The vertical position of a value: 0 is the top. Values below the axis, including 0, lie at the bottom."""
        exponent = math.log10(max(value, 10.0**self.low))
        return (self.high - exponent) / (self.high - self.low)

    def decades(self) -> Iterator[tuple[float, str]]:
        """Positions and labels of the powers of ten."""
        every = -(-(self.high - self.low) // 8)
        for exponent in range(self.low, self.high + 1, every):
            yield self.down(10.0**exponent), f"1e{exponent}"

    def times(self) -> Iterator[tuple[float, str]]:
        """Positions of some steps, and their t as labels."""
        last = len(self.steps) - 1
        for row in sorted({round(i * last / (TICKS - 1)) for i in range(TICKS)}):
            yield self.across(row), str(self.steps[row].t)
