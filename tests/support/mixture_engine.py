"""An engine without weights: the exact denoiser of pixels near -1 or 1, for which samplers with few steps err."""

import numpy as np
from gaussian_model import BETAS, gaussian_card

from ddpm_rt.engine import Engine

DEVIATION = 0.15  # of each mode
ALPHA_BAR = np.cumprod(1 - BETAS)


def x0_of_mixture(x, t, shift=0.0):
    """E[x0 | x_t] of (N(-1, DEVIATION^2) + N(1, DEVIATION^2)) / 2, moved by `shift`, float64."""
    alpha_bar = ALPHA_BAR[t][:, None, None, None]
    x = x.astype(np.float64) - np.sqrt(alpha_bar) * np.reshape(shift, (-1, 1, 1, 1))
    spread = alpha_bar * DEVIATION**2 + 1 - alpha_bar
    mode = np.tanh(np.sqrt(alpha_bar) * x / spread)
    x0 = mode + np.sqrt(alpha_bar) * DEVIATION**2 / spread * (x - np.sqrt(alpha_bar) * mode)
    return x0 + np.reshape(shift, (-1, 1, 1, 1))


class MixtureEngine(Engine):
    """Predicts eps, x0 or v, and counts calls. Each class is shifted by 0.5; a learned variance adds a spread."""

    def __init__(self, **changes):
        self.card = gaussian_card(**changes)
        self.calls, self.largest = 0, 0

    def __call__(self, x, t, y=None, /):
        self.calls, self.largest = self.calls + 1, max(self.largest, len(x))
        x0 = x0_of_mixture(x, t, 0.0 if y is None else 0.5 * y)
        alpha_bar = ALPHA_BAR[t][:, None, None, None]
        eps = (x - np.sqrt(alpha_bar) * x0) / np.sqrt(1 - alpha_bar)
        v = np.sqrt(alpha_bar) * eps - np.sqrt(1 - alpha_bar) * x0
        out = {"x0": x0, "eps": eps, "v": v}[self.card.prediction]
        if self.card.variance.startswith("learned"):
            out = np.concatenate([out, np.sin(x)], axis=1)
        return out.astype(np.float32)
