"""One sample on its way through the rows of its step table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from ..denoiser import Batch
from ..device.lanes import Rows, time_of
from ..errors import DdpmRtError
from ..host_loop import Step


@dataclass(eq=False)
class Chain:
    """The chain of one sample. Any lane can run any row of it: all of its state is here.

    Lanes replace the arrays `x` and `x0` at every step and never write to them again, so another thread may keep them.
    """

    rows: Rows  # of its table, with the clip range; `device.lanes.rows_of` makes them
    seed: int
    sample: int
    label: int | None = None  # None for an unconditional model
    guidance: float = 1.0
    initial_scale: float = 1.0  # x_T = initial_scale z
    inputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # values of the model's conditions, by name
    null_inputs: Mapping[str, NDArray[Any]] = field(default_factory=dict)  # with guidance: those for no condition
    row: int = 0  # the next one
    x: Batch | None = None  # [C, ...] after the row before; None is x_T, scaled noise of (seed, sample)
    x0: Batch | None = None  # [C, ...], predicted at the row before
    error: DdpmRtError | None = None  # why the chain cannot go on

    @property
    def steps(self) -> int:
        return len(self.rows)

    @property
    def images(self) -> int:
        """Images of a network call that a step takes: guidance needs a second one, without the label."""
        return 1 if self.guidance == 1.0 else 2

    @property
    def is_over(self) -> bool:
        return self.row >= self.steps or self.error is not None

    def time(self, row: int) -> int | float:
        """The time that the network is given in a row."""
        return time_of(self.rows, row)

    def step(self) -> Step:
        """The last step: arrays `[1, C, ...]`. Only after a step."""
        assert self.x is not None
        assert self.x0 is not None
        row = self.row - 1
        return Step(row, self.time(row), self.x[None], self.x0[None])

    def detach(self) -> None:
        """Copy the arrays out of the batch that they are a part of, which can then be freed."""
        self.x = None if self.x is None else self.x.copy()
        self.x0 = None if self.x0 is None else self.x0.copy()
