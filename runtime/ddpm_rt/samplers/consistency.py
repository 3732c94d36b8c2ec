"""Sampling from consistency models (Song et al. 2023), whose output is the data at every noise level."""

import numpy as np

from .continuous import SigmaProcess
from .schedule import Levels, Prediction
from .table import StepTable, alpha_bars, assemble


def consistency(process: SigmaProcess, sigmas: Levels, *, prediction: Prediction = "x0") -> StepTable:
    """Algorithm 1: each step predicts the data, then adds noise of deviation sqrt(sigma_next^2 - sigma_min^2).

    The last step returns the data. A network that was not distilled or trained for it runs too, but its images are
    smoother than the data. The state is that of a DDPM: `network_table` brings it to the network's scale.
    """
    now, before = alpha_bars(process, sigmas)
    following = np.append(sigmas[1:], process.sigma_min)
    noise = np.sqrt(np.maximum(np.square(following) - process.sigma_min**2, 0.0))
    return assemble(sigmas, now, prediction, mean_from_x0=np.sqrt(before), sigma=np.sqrt(before) * noise)
