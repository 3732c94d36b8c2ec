"""Multistep consistency sampling, Luo et al. 2023 (arXiv 2310.04378), for networks distilled for it."""

import numpy as np

from .schedule import Integers, Prediction, Schedule
from .table import StepTable, alpha_bars, assemble

DATA_DEVIATION = 0.5  # sigma_data of the boundary condition in the distillation of such networks
TIME_SCALE = 10.0  # the factor of t in the same condition


def lcm(schedule: Schedule, timesteps: Integers, *, prediction: Prediction = "eps") -> StepTable:
    """Algorithm 3: each step predicts the data, then adds fresh noise up to the next timestep, except in the last.

    The prediction is c_out x0 + c_skip x, which is x itself at t = 0. A network that was not distilled runs too, but
    its images are smoother than the data.
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
