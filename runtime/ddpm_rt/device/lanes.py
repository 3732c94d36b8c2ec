"""What the step kernel reads, as NumPy sees it: rows of tables, and lanes. `include/ddpm_rt/step.h` has the same.

A lane is one place in the batch, with the sample that stands there: its own seed, its own table, its own next row.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..dialects import Clip
from ..noise import LIMIT
from ..table import StepTable

NOT_YET = 0xFFFFFFFF  # Lane.not_finite while every output was finite

ROW = np.dtype([("coefficients", np.float32, 8), ("clip", np.float32, 2), ("t", np.int64)])
LANE = np.dtype([
    ("seed", np.uint64), ("sample", np.uint64),  # where its noise is
    ("table", np.uint32),  # its table begins at this row of all of them
    ("row", np.uint32), ("end", np.uint32),  # the next row of its table, and the one to stop before
    ("not_finite", np.uint32),  # the first row at which the network's output was not finite
    ("guidance", np.float32),
    ("unused", np.uint32, 3),
])  # fmt: skip
STATE = 4  # uint32: the kernel's ticket, stop, lanes still running, unused

Rows = NDArray[np.void]  # [rows] of ROW
Lanes = NDArray[np.void]  # [batch] of LANE


def rows_of(table: StepTable, clip: Clip) -> Rows:
    """A table as the kernel reads it: cast to float32 once, as the loop on the host does."""
    rows = np.zeros(table.steps, ROW)
    rows["coefficients"] = np.stack(table[1:], axis=1)
    rows["clip"] = (-np.inf, np.inf) if clip is None else clip
    rows["t"] = table.t
    return rows


def lanes_of(
    samples: Sequence[int], batch: int, *, seed: int, rows: int, first_row: int = 0, guidance: float = 1.0
) -> Lanes:
    """Lanes that begin at `first_row` of the table, the first one, of so many `rows`.

    A batch that is larger than there are samples is filled up with lanes that are done. Raises ValueError for more
    samples than lanes, and for numbers outside [0, 2^64).
    """
    if len(samples) > batch:
        raise ValueError(f"{len(samples)} samples do not fit into a batch of {batch}")
    if not all(0 <= number < LIMIT for number in (seed, *samples)):
        raise ValueError("seed and sample numbers must lie in [0, 2^64)")
    lanes = np.zeros(batch, LANE)
    lanes["seed"], lanes["not_finite"], lanes["guidance"] = seed, NOT_YET, guidance
    lanes["sample"][: len(samples)] = np.array(samples, np.uint64)
    lanes["row"], lanes["end"] = rows, rows
    lanes["row"][: len(samples)] = first_row
    return lanes
