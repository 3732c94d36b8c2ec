"""Exact networks that are linear, so that a chain is a recursion in float64."""

import numpy as np
from gaussian_model import BETAS, PIXEL_VARIANCE, gaussian_card

from ddpm_rt import noise

SHAPE = (1, 4, 6)
SIZE = 24
ALPHA_BAR = np.cumprod(1 - BETAS)


class Linear:
    """The exact network for Gaussian pixels; `calls` lists the timesteps of its calls."""

    def __init__(self, prediction="eps", **facts):
        self.card = gaussian_card(prediction=prediction, **facts)
        self.calls = []

    def gain(self, t):
        """out = gain x."""
        now = ALPHA_BAR[t]
        x0 = np.sqrt(now) * PIXEL_VARIANCE / (now * PIXEL_VARIANCE + 1 - now)
        eps = (1 - np.sqrt(now) * x0) / np.sqrt(1 - now)
        return {"eps": eps, "x0": x0, "v": np.sqrt(now) * eps - np.sqrt(1 - now) * x0}[self.card.prediction]

    def __call__(self, x, t):
        self.calls.append(int(t[0]))
        return (self.gain(t).reshape(-1, 1, 1, 1) * x).astype(np.float32)


class OneValue:
    """The exact network for images whose pixels all have one value from N(0, PIXEL_VARIANCE).

    The posterior mean of the value given x is a multiple of the mean of x.
    """

    card = gaussian_card()

    def __call__(self, x, t):
        now = ALPHA_BAR[t].reshape(-1, 1, 1, 1)
        x0 = (
            np.sqrt(now) * PIXEL_VARIANCE / (now * PIXEL_VARIANCE + (1 - now) / SIZE) * x.mean((1, 2, 3), keepdims=True)
        )
        return ((x - np.sqrt(now) * x0) / np.sqrt(1 - now)).astype(np.float32)


def pictures(count=1, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, *SHAPE)).astype(np.float32)


def normal(seed, samples, step):
    return noise.normal(seed, samples, step, SIZE).reshape(-1, *SHAPE).astype(np.float64)


def recursion(engine, request, start, first_row=0):
    """The chain of a linear network in float64."""
    table, x = request.bind(engine.card).table, start
    for row, (t, a, b, m0, mx, mo, _, sigma, _) in enumerate(zip(*table, strict=True)):
        if row >= first_row:
            gain = engine.gain(t)
            x = (m0 * (a + b * gain) + mx + mo * gain) * x + (
                sigma * normal(request.seed, request.samples, row) if sigma else 0
            )
    return x
