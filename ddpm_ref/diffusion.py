"""The diffusion process of Ho et al. 2020, "Denoising Diffusion Probabilistic Models", to be read beside the paper.

Equation numbers are the paper's unless another is named. `t` counts from 0, so `t` here is the paper's t - 1:
`betas[t]` is its beta_{t+1}, and alpha_bar before t = 0 is 1. Coefficients are float64 until `gather` rounds them to
the dtype of the images.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Prediction = Literal["eps", "x0", "v"]
Variance = Literal["fixed_small", "fixed_large"]
AnyVariance = Literal["fixed_small", "fixed_large", "learned", "learned_range"]  # the network learns the last two
Spacing = Literal["trailing", "leading", "linspace"]
Model = Callable[[Tensor, Tensor], Tensor]  # (x [B,C,H,W], t int64 [B]) -> out [B,C,H,W]
Noise = Callable[[int], Tensor]  # number of the reverse step, from 0 -> z, shaped like x


@dataclass(frozen=True, eq=False)
class Diffusion:
    """A noise schedule, betas float64 `[T]`, and the network's prediction. All methods are pure functions."""

    betas: NDArray[np.float64]
    prediction: Prediction = "eps"

    def __len__(self) -> int:
        return len(self.betas)

    @property
    def alphas(self) -> NDArray[np.float64]:
        return np.asarray(1.0 - self.betas, dtype=np.float64)

    @cached_property
    def alpha_bars(self) -> NDArray[np.float64]:
        """alpha_bar_t, the product of the alphas up to and including t (below eq. 3)."""
        return np.cumprod(self.alphas, dtype=np.float64)

    @property
    def alpha_bars_prev(self) -> NDArray[np.float64]:
        return np.append(1.0, self.alpha_bars[:-1])

    # The forward process.

    def q_step(self, x_prev: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """One step of the forward process: a draw from q(x_t | x_{t-1}), eq. (2)."""
        beta = gather(self.betas, t, x_prev)
        return (1.0 - beta).sqrt() * x_prev + beta.sqrt() * noise

    def q_sample(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """All forward steps up to t at once: a draw from q(x_t | x_0), eq. (4)."""
        return gather(self.alpha_bars**0.5, t, x0) * x0 + gather((1.0 - self.alpha_bars) ** 0.5, t, x0) * noise

    def q_posterior_mean(self, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The mean of q(x_{t-1} | x_t, x_0), eq. (7)."""
        before, now = self.alpha_bars_prev, self.alpha_bars
        from_x0 = before**0.5 * self.betas / (1.0 - now)
        from_x = self.alphas**0.5 * (1.0 - before) / (1.0 - now)
        return gather(from_x0, t, x) * x0 + gather(from_x, t, x) * x

    def q_posterior_variance(self) -> NDArray[np.float64]:
        """The variance of q(x_{t-1} | x_t, x_0) for every t, eq. (7): beta tilde. It is 0 at t = 0."""
        return (1.0 - self.alpha_bars_prev) / (1.0 - self.alpha_bars) * self.betas

    def mean_from_eps(self, eps: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The mean of p(x_{t-1} | x_t) directly from the predicted noise, eq. (11): the unclipped posterior mean."""
        from_eps = self.betas / (1.0 - self.alpha_bars) ** 0.5
        return (x - gather(from_eps, t, x) * eps) / gather(self.alphas**0.5, t, x)

    # The training target, and the reading of the network's output.

    def target(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """The training target at x_t: the noise, x_0, or v (Salimans and Ho 2022, section 4)."""
        if self.prediction == "eps":
            return noise
        if self.prediction == "x0":
            return x0
        return gather(self.alpha_bars**0.5, t, x0) * noise - gather((1.0 - self.alpha_bars) ** 0.5, t, x0) * x0

    def predict_x0(self, out: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """x_0 from the network's output: eq. (15) for eps, the output itself for x0, signal x - noise v for v."""
        if self.prediction == "x0":
            return out
        signal, noise = self.alpha_bars**0.5, (1.0 - self.alpha_bars) ** 0.5
        if self.prediction == "eps":
            return gather(1.0 / signal, t, x) * x - gather(noise / signal, t, x) * out
        return gather(signal, t, x) * x - gather(noise, t, x) * out

    # The reverse process.

    @torch.no_grad()
    def p_sample_loop(
        self,
        model: Model,
        x: Tensor,
        noise: Noise,
        *,
        variance: Variance = "fixed_small",
        clip: tuple[float, float] | None = (-1.0, 1.0),
    ) -> Iterator[Tensor]:
        """Algorithm 2 as in Ho's published code: predict x_0, clip it, and insert it into eq. (7). Yields x_{t-1}.

        Without a clipped value this equals line 4 of Algorithm 2. `x` is x_T. The step to x_0 adds no noise.
        """
        sigma = np.sqrt(self.q_posterior_variance() if variance == "fixed_small" else self.betas)
        for row, step in enumerate(range(len(self) - 1, -1, -1)):
            t = torch.full((len(x),), step, dtype=torch.int64, device=x.device)
            x0 = self.predict_x0(model(x, t), x, t)
            x0 = x0 if clip is None else x0.clamp(*clip)
            x = self.q_posterior_mean(x0, x, t)
            if step > 0:
                x = x + float(sigma[step]) * noise(row)
            yield x

    @torch.no_grad()
    def ddim_sample_loop(
        self,
        model: Model,
        x: Tensor,
        noise: Noise,
        *,
        timesteps: Sequence[int],
        eta: float = 0.0,
        clip: tuple[float, float] | None = (-1.0, 1.0),
    ) -> Iterator[Tensor]:
        """Song et al. 2021 (DDIM), eq. (12), over descending `timesteps`. Yields x at the next timestep.

        eps is derived again from the clipped x_0.
        """
        for row, step in enumerate(timesteps):
            last = row == len(timesteps) - 1
            now, before = self.alpha_bars[step], 1.0 if last else self.alpha_bars[timesteps[row + 1]]
            t = torch.full((len(x),), step, dtype=torch.int64, device=x.device)
            x0 = self.predict_x0(model(x, t), x, t)
            x0 = x0 if clip is None else x0.clamp(*clip)
            eps = (x - float(now**0.5) * x0) / float((1.0 - now) ** 0.5)
            sigma = eta * ((1.0 - before) / (1.0 - now)) ** 0.5 * (1.0 - now / before) ** 0.5
            x = float(before**0.5) * x0 + float(max(1.0 - before - sigma**2, 0.0) ** 0.5) * eps
            if sigma > 0:
                x = x + float(sigma) * noise(row)
            yield x

    def respaced(self, timesteps: Sequence[int]) -> "Diffusion":
        """The process that visits only `timesteps` (descending): Nichol and Dhariwal 2021, eq. (19).

        Its step i is timestep `sorted(timesteps)[i]` of the model: wrap the model with `at_timesteps` to translate.
        """
        kept = self.alpha_bars[np.sort(np.asarray(timesteps))]
        return Diffusion(1.0 - kept / np.append(1.0, kept[:-1]), self.prediction)


def at_timesteps(model: Model, timesteps: Sequence[int]) -> Model:
    """The model for a respaced process, whose step i is timestep `sorted(timesteps)[i]` of `model`."""
    original = torch.as_tensor(sorted(timesteps), dtype=torch.int64)
    return lambda x, t: model(x, original.to(t.device)[t])


def gather(values: NDArray[np.float64], t: Tensor, like: Tensor) -> Tensor:
    """`values[t]` as `[B, 1, 1, 1]`, in the dtype and on the device of `like`. Only this function rounds float64."""
    chosen = torch.from_numpy(np.ascontiguousarray(values)).to(t.device)[t]
    return chosen.to(like.device, like.dtype).reshape(-1, 1, 1, 1)
