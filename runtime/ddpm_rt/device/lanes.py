"""The bytes that the kernels read and write, as NumPy types: `ddpm_rt_row` and `ddpm_rt_lane` of `ddpm_rt/step.h`.

A lane is one slot of the batch. The sample in it has its own seed, its own table and its own next row.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..denoiser import TIME_KINDS, plain_time
from ..limits import MAX_BATCH
from ..noise import UINT64_END
from ..samplers.dialects import Clip
from ..samplers.table import StepTable

ROW = np.dtype([*((name, np.float32) for name in (*StepTable._fields[1:], "clip_low", "clip_high")), ("t", np.float64)])
LANE = np.dtype(
    [
        *((name, np.uint64) for name in ("seed", "sample")),
        *((name, np.uint32) for name in ("table", "row", "end", "not_finite")),
        ("guidance", np.float32),
        ("initial_scale", np.float32),
        ("unused", np.uint32, 2),
    ]
)
FINITE = 0xFFFFFFFF  # `not_finite` of a lane whose outputs were all finite
MAX_LANES = MAX_BATCH  # the limit of a grid's second dimension
BLOCK = 256  # threads per block; each computes four elements
TIME_TYPES = tuple(kind.dtype for kind in TIME_KINDS)  # by the kernels' `t_type`
STATE_WORDS = 4  # of the buffer `state`; these are used:
TICKET, STOP, RUNNING = 0, 1, 2

Rows = NDArray[np.void]  # ROW [steps]
Lanes = NDArray[np.void]  # LANE [batch]


def rows_of(table: StepTable, clip: Clip) -> Rows:
    """A table in the kernels' layout: float64 rounded to float32 once, as in the host loop."""
    rows = np.zeros(table.steps, ROW)
    for name, column in table._asdict().items():
        rows[name] = column
    rows["clip_low"], rows["clip_high"] = (-np.inf, np.inf) if clip is None else clip
    return rows


def time_of(rows: Rows, row: int) -> int | float:
    """The time that the network is given in a row."""
    return plain_time(rows["t"][row])


def lanes_of(
    seed: int,
    samples: Sequence[int],
    *,
    end: int,
    row: int = 0,
    table: int = 0,
    guidance: float = 1.0,
    initial_scale: float = 1.0,
    batch: int | None = None,
) -> Lanes:
    """The lanes of samples that all start at `row` of one table of `end` rows.

    A `batch` larger than the number of samples is padded with idle lanes. Raises ValueError for more
    samples than that, and for numbers outside [0, 2^64).
    """
    batch = len(samples) if batch is None else batch
    if len(samples) > batch:
        raise ValueError(f"{len(samples)} samples do not fit into a batch of {batch}")
    if not all(0 <= number < UINT64_END for number in (seed, *samples)):
        raise ValueError("seed and sample numbers must lie in [0, 2^64)")
    lanes = np.zeros(batch, LANE)
    lanes["seed"], lanes["table"], lanes["row"], lanes["end"] = seed, table, end, end
    lanes["not_finite"], lanes["guidance"], lanes["initial_scale"] = FINITE, guidance, initial_scale
    lanes["sample"][: len(samples)] = np.array(samples, np.uint64)
    lanes["row"][: len(samples)] = row
    return lanes


def grid_of(size: int, batch: int) -> tuple[int, int, int]:
    """The launch grid of every kernel for `batch` images of `size` elements."""
    quads = -(-size // 4)
    return -(-quads // BLOCK), batch, 1
