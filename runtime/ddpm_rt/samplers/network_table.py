"""A step table for a network whose process has no betas, from the table of a DDPM's state."""

import numpy as np

from .continuous import Levelled
from .schedule import Floats, Prediction
from .table import StepTable


def network_table(table: StepTable, process: Levelled, levels: Floats, prediction: Prediction) -> StepTable:
    """`table`, which was made at `levels` for the state of a DDPM, for the state that the network takes.

    The loop keeps x in the scale of the network's input: a row reads x in the scale of its own level, and writes it in
    that of the next level; the last row writes the data. t is what the network is told. For the predictions edm and
    velocity, `table` is one for prediction x0.
    """
    scale = process.scale_at(levels, prediction)
    after = np.append(scale[1:], 1.0)
    x0_from_x, x0_from_out = table.x0_from_x / scale, table.x0_from_out
    if (own := process.x0_from(levels, prediction)) is not None:
        x0_from_x, x0_from_out = own
    return StepTable(
        t=process.time_at(levels),
        x0_from_x=x0_from_x,
        x0_from_out=x0_from_out,
        mean_from_x0=table.mean_from_x0 * after,
        mean_from_x=table.mean_from_x * after / scale,
        mean_from_out=table.mean_from_out * after,
        mean_from_prev_x0=table.mean_from_prev_x0 * after,
        sigma=table.sigma * after,
        log_sigma_from_spread=table.log_sigma_from_spread,
    )
