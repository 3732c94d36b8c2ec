"""Multistep consistency sampling, Luo et al. 2023 (arXiv 2310.04378): for networks that were distilled for it."""

import numpy as np

from .schedule import Integers, Prediction, Schedule
from .table import StepTable, alpha_bars, assemble

DATA_DEVIATION = 0.5  # of the boundary condition that such networks are distilled with
TIME_SCALE = 10.0


def lcm(schedule: Schedule, timesteps: Integers, *, prediction: Prediction = "eps") -> StepTable:
    """Algorithm 3: the network jumps to the data, fresh noise brings it to the next timestep; none after the last.

    The jump is c_out x0 + c_skip x, which at t = 0 is x itself. With a network that was not distilled it runs, and
    gives images smoother than the data.
    """
    now, before = alpha_bars(schedule, timesteps)
    scaled = TIME_SCALE * timesteps
    c_skip = DATA_DEVIATION**2 / (scaled**2 + DATA_DEVIATION**2)
    c_out = scaled / np.sqrt(scaled**2 + DATA_DEVIATION**2)
    return assemble(
        timesteps,
        now,
        prediction,
        mean_from_x0=np.sqrt(before) * c_out,
        mean_from_x=np.sqrt(before) * c_skip,
        sigma=np.sqrt(1.0 - before),
    )
