"""The training loss: L_simple, optionally with min-SNR weights, or L_hybrid for a learned variance.

Equation numbers are those of Nichol and Dhariwal 2021, "Improved Denoising Diffusion Probabilistic Models". `t` counts
from 0, as in `diffusion`.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .diffusion import AnyVariance, Diffusion, Model, gather

VLB_WEIGHT = 0.001  # lambda of eq. (16)
BIN = 1.0 / 255.0  # half the width of the bin of a byte value, for bytes mapped to [-1, 1]


@dataclass(frozen=True, eq=False)
class Loss:
    """The training loss of a diffusion process and a variance, a pure function of its arguments.

    `min_snr_gamma` above 0 weights L_simple by Hang et al. 2023, "Efficient Diffusion Training via Min-SNR Weighting
    Strategy", section 3.4; 0 gives all timesteps the same weight.
    """

    diffusion: Diffusion
    variance: AnyVariance
    min_snr_gamma: float = 0.0

    def __call__(self, model: Model, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The mean loss of the batch, a scalar. x0 and noise are `[B, C, H, W]`, t is int64 `[B]`.

        The model's output has C channels, or 2 C if the variance is learned: the prediction, then the spread.
        """
        if not self.variance.startswith("learned"):
            return self._simple(model(self.diffusion.q_sample(x0, t, noise), t).to(x0.dtype), x0, t, noise)
        x = self.diffusion.q_sample(x0, t, noise)
        out, spread = model(x, t).to(x0.dtype).chunk(2, dim=1)
        # Eq. (16). L_vlb trains only the variance: the mean gets no gradient from it (section 3.1). L_vlb is a sum over
        # all T timesteps, of which one is drawn here, and a mean over the elements, in bits.
        vlb = self.vlb_term(out.detach(), spread, x0, x, t).mean()
        return self._simple(out, x0, t, noise) + VLB_WEIGHT * len(self.diffusion) * vlb

    def _simple(self, out: Tensor, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        squares = (self.diffusion.target(x0, t, noise) - out).square()
        if not self.min_snr_gamma:
            return squares.mean()
        return (gather(self.weights(), t, x0) * squares).mean()

    def weights(self) -> NDArray[np.float64]:
        """The min-SNR weight of every timestep, float64 `[T]`: min(SNR, gamma) for the squared error of x_0.

        The squared error of eps is that of x_0 times SNR, and the squared error of v is that of x_0 times SNR + 1.
        Their weights are divided by these factors.
        """
        alpha_bars = self.diffusion.alpha_bars
        snr = alpha_bars / (1.0 - alpha_bars)
        scale = {"x0": np.ones_like(snr), "eps": snr, "v": snr + 1.0}[self.diffusion.prediction]
        return np.asarray(np.minimum(snr, self.min_snr_gamma) / scale, np.float64)

    def log_variance(self, spread: Tensor, t: Tensor) -> Tensor:
        """log sigma_t^2 from the spread: the spread itself, or for learned_range eq. (15) with v = (spread + 1) / 2."""
        if self.variance == "learned":
            return spread
        small, large = self.log_variances()
        v = (spread + 1.0) / 2.0
        return v * gather(large, t, spread) + (1.0 - v) * gather(small, t, spread)

    def log_variances(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The logarithms of the two fixed variances, beta tilde and beta, float64 `[T]`.

        Beta tilde is 0 at t = 0; the value at t = 1 replaces it.
        """
        small = self.diffusion.q_posterior_variance()
        small[0] = small[1] if len(small) > 1 else self.diffusion.betas[0]
        return np.log(small), np.log(self.diffusion.betas)

    def vlb_term(self, out: Tensor, spread: Tensor, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """L_t of eqs. (5) and (6) for each element, in bits, shaped like x0.

        L_t is a Kullback-Leibler divergence; at t = 0 it is the code length of the image's bytes.
        """
        process = self.diffusion
        mean = process.q_posterior_mean(process.predict_x0(out, x, t), x, t)
        log_variance = self.log_variance(spread, t)
        true_mean = process.q_posterior_mean(x0, x, t)
        true_log_variance = gather(self.log_variances()[0], t, x)
        divergence = normal_divergence(true_mean, true_log_variance, mean, log_variance)
        code = -log_likelihood_of_bytes(x0, mean, log_variance)
        return torch.where(t.reshape(-1, 1, 1, 1) == 0, code, divergence) / math.log(2.0)


def normal_divergence(mean: Tensor, log_variance: Tensor, other_mean: Tensor, other_log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(other_mean, exp(other_log_variance))) for each element, in nats."""
    ratio = (log_variance - other_log_variance).exp()
    distance = (mean - other_mean).square() * (-other_log_variance).exp()
    return 0.5 * (ratio + distance - 1.0 - (log_variance - other_log_variance))


def log_likelihood_of_bytes(x0: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    """log p(x_0 | x_1) for each element, in nats: the Gaussian's mass in the bin of a byte, Ho et al. 2020, eq. (13).

    The bins of -1 and 1 extend to infinity. A mass below 1e-12 counts as 1e-12.
    """
    inverse_deviation = (-0.5 * log_variance).exp()
    below = torch.special.ndtr((x0 - BIN - mean) * inverse_deviation)
    above = torch.special.ndtr((x0 + BIN - mean) * inverse_deviation)
    mass = torch.where(x0 > 0.999, 1.0, above) - torch.where(x0 < -0.999, 0.0, below)
    return mass.clamp(min=1e-12).log()
