"""The bytes that the kernels read and write: `ddpm_rt_row` and `ddpm_rt_lane` of `ddpm_rt/step.h` as NumPy types."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..table import StepTable

ROW = np.dtype([*((name, np.float32) for name in (*StepTable._fields[1:], "clip_low", "clip_high")), ("t", np.int64)])
LANE = np.dtype(
    [
        *((name, np.uint64) for name in ("seed", "sample")),
        *((name, np.uint32) for name in ("table", "row", "end", "not_finite")),
        ("guidance", np.float32),
        ("unused", np.uint32, 3),
    ]
)
FINITE = 0xFFFFFFFF  # `not_finite` of a lane whose network has said nothing else
BLOCK = 256  # threads of a block; each owns four elements
TIME_TYPES = (np.dtype(np.int64), np.dtype(np.int32), np.dtype(np.float32))  # by `t_type`
TICKET, STOP, RUNNING = 0, 1, 2  # of the four words of `state`


def rows_of(table: StepTable, clip: tuple[float, float] | None) -> NDArray[np.void]:
    """A table as the kernels read it, `ROW [steps]`: float64 rounded to float32 once, as the loop on the host does."""
    rows = np.zeros(table.steps, ROW)
    for name, column in table._asdict().items():
        rows[name] = column
    rows["clip_low"], rows["clip_high"] = (-np.inf, np.inf) if clip is None else clip
    return rows


def lanes_of(
    seed: int, samples: Sequence[int], *, end: int, row: int = 0, table: int = 0, guidance: float = 1.0
) -> NDArray[np.void]:
    """A batch of samples that all begin at `row` of one table of `end` rows, `LANE [batch]`."""
    lanes = np.zeros(len(samples), LANE)
    lanes["seed"], lanes["sample"] = seed, np.array(samples, np.uint64)
    lanes["table"], lanes["row"], lanes["end"] = table, row, end
    lanes["not_finite"], lanes["guidance"] = FINITE, guidance
    return lanes


def grid_of(size: int, batch: int) -> tuple[int, int, int]:
    """The grid of every kernel for `batch` images of `size` elements."""
    quads = -(-size // 4)
    return -(-quads // BLOCK), batch, 1
