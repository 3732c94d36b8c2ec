"""An engine without weights: the exact denoiser of pixels near -1 or 1, for which samplers with few steps err."""

import numpy as np
from gaussian_model import BETAS, gaussian_card

from ddpm_rt.engine import Engine
from ddpm_rt.samplers.continuous import FlowProcess, SigmaProcess

DEVIATION = 0.15  # of each mode
ALPHA_BAR = np.cumprod(1 - BETAS)


def x0_of_mixture(x, t, shift=0.0):
    """E[x0 | x_t] of (N(-1, DEVIATION^2) + N(1, DEVIATION^2)) / 2, moved by `shift`, float64."""
    return x0_at(ALPHA_BAR[t][:, None, None, None], x, shift)


def x0_at(alpha_bar, x, shift=0.0):
    """The same at alpha_bar `[B, 1, 1, 1]`."""
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


SIGMA_DATA = 0.5
KINDS = {  # of models without betas: their process and prediction
    "sigma, eps": (SigmaProcess(0.01, 50.0, time="log_sigma", time_scale=0.25), "eps"),
    "sigma, x0": (SigmaProcess(0.002, 80.0), "x0"),
    "sigma, edm": (SigmaProcess(0.002, 80.0, time="log_sigma", time_scale=0.25, sigma_data=SIGMA_DATA), "edm"),
    "flow, velocity": (FlowProcess(time_scale=1000.0, shift=2.0), "velocity"),
    "flow, reversed velocity": (FlowProcess(time="1-t"), "velocity"),
}


class LevelsEngine(Engine):
    """The same pixels for a process of noise levels or a flow, in the network's scale, told what the card says."""

    def __init__(self, kind, **changes):
        self.process, prediction = KINDS[kind]
        spacing = "karras" if self.process.kind == "sigma" else "trailing"
        facts = {"betas": (), "process": self.process, "prediction": prediction, "spacing": spacing}
        self.card = gaussian_card(**{**facts, **changes})

    def __call__(self, x, t, y=None, inputs=None, /):
        level = np.exp(t / 0.25) if getattr(self.process, "time", "") == "log_sigma" else t / self.process.time_scale
        level = np.asarray(1 - level if self.process.time == "1-t" else level, np.float64).reshape(-1, 1, 1, 1)
        x = x.astype(np.float64)
        if self.process.kind == "flow":  # x = (1 - t) x0 + t z
            deviation = np.sqrt((1 - level) ** 2 + level**2)
            x0 = x0_at(((1 - level) / deviation) ** 2, x / deviation)
            velocity = (x - x0) / level  # z - x0
            return np.asarray(-velocity if self.process.time == "1-t" else velocity, np.float32)
        total = np.sqrt(level**2 + SIGMA_DATA**2)
        x = x * total if self.card.prediction == "edm" else x  # Karras et al. 2022, table 1: c_in
        x0 = x0_at(1 / (1 + level**2), x / np.sqrt(1 + level**2))
        raw = (x0 - SIGMA_DATA**2 / total**2 * x) / (level * SIGMA_DATA / total)
        out = {"x0": x0, "eps": (x - x0) / level, "edm": raw}[self.card.prediction]
        return np.asarray(out, np.float32)
