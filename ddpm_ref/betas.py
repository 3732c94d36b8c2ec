"""Noise schedules: the variances beta_1 .. beta_T of the forward process, float64 `[T]`; `betas[t]` is beta_{t+1}.

Schedule names are a convenience of training. Checkpoints and exports contain the array.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Betas = NDArray[np.float64]

MAX_BETA = 0.999  # keeps alpha_bar above zero where its curve ends at zero (Nichol and Dhariwal 2021, section 3.2)


MAX_TIMESTEPS = 65_536  # most timesteps of a process


def check_steps(steps: int) -> None:
    """Raises ValueError unless `steps` is a valid number of timesteps."""
    if not 1 <= steps <= MAX_TIMESTEPS:
        raise ValueError(f"steps must be at least 1 and at most {MAX_TIMESTEPS}, not {steps:.6g}")


def _check_ends(start: float, end: float) -> None:
    if not (0 <= start <= 1 and 0 <= end <= 1):
        raise ValueError(f"betas must be numbers inside (0, 1), not from {start:g} to {end:g}")


def linear(steps: int, start: float = 1e-4, end: float = 0.02) -> Betas:
    """Evenly spaced from `start` to `end`, both included: DDPM section 4. Not rescaled when T is not 1000."""
    check_steps(steps)
    _check_ends(start, end)
    return custom(np.linspace(start, end, steps, dtype=np.float64))


def quadratic(steps: int, start: float = 1e-4, end: float = 0.02) -> Betas:
    """Squares of evenly spaced roots; diffusers calls it `scaled_linear`, Ho's code `quad`."""
    check_steps(steps)
    _check_ends(start, end)
    return custom(np.linspace(start**0.5, end**0.5, steps, dtype=np.float64) ** 2)


def cosine(steps: int, offset: float = 0.008) -> Betas:
    """Nichol and Dhariwal 2021, eq. (17). diffusers calls this schedule `squaredcos_cap_v2`."""
    return from_alpha_bar(lambda u: math.cos((u + offset) / (1 + offset) * math.pi / 2) ** 2, steps)


def sigmoid(steps: int, start: float = 1e-4, end: float = 0.02) -> Betas:
    """A logistic curve from -6 to 6 for beta itself, scaled to [start, end]: GeoDiff's, and diffusers' `sigmoid`."""
    check_steps(steps)
    _check_ends(start, end)
    return custom((end - start) / (1 + np.exp(-np.linspace(-6.0, 6.0, steps, dtype=np.float64))) + start)


def sigmoid_alpha_bar(steps: int, start: float = -3.0, end: float = 3.0, tau: float = 1.0) -> Betas:
    """alpha_bar is a logistic curve: Jabri et al. 2022, algorithm 1. Only the name resembles `sigmoid`."""

    def logistic(value: float) -> float:
        return 1.0 / (1.0 + math.exp(-value / tau))

    first, last = logistic(start), logistic(end)
    return from_alpha_bar(lambda u: (last - logistic(u * (end - start) + start)) / (last - first), steps)


def zero_terminal_snr(betas: Betas) -> Betas:
    """`betas` changed so that alpha_bar ends at 0: Lin et al. 2023, algorithm 1 (`rescale_betas_zero_snr`).

    sqrt(alpha_bar) is shifted to end at 0 and scaled to keep its first value. The last beta becomes 1. Raises
    ValueError for fewer than two betas.
    """
    if len(betas) < 2:
        raise ValueError("a schedule of one step cannot be rescaled to zero terminal SNR")
    root = np.sqrt(np.cumprod(1.0 - betas))
    alpha_bar = ((root - root[-1]) * root[0] / (root[0] - root[-1])) ** 2
    return custom(1.0 - np.append(alpha_bar[0], alpha_bar[1:] / alpha_bar[:-1]))


def from_alpha_bar(alpha_bar: Callable[[float], float], steps: int) -> Betas:
    """beta_t = 1 - alpha_bar(t / T) / alpha_bar((t - 1) / T), at most MAX_BETA (Nichol and Dhariwal 2021, eq. 17)."""
    check_steps(steps)
    values = [1.0 - alpha_bar((t + 1) / steps) / alpha_bar(t / steps) for t in range(steps)]
    return custom(np.minimum(values, MAX_BETA))


def custom(values: Sequence[float] | Betas) -> Betas:
    """`values` as betas. Raises ValueError unless each lies inside (0, 1).

    The last of several may be 1: the noisiest image then holds no signal at all (zero terminal SNR, Lin et al. 2023).
    """
    try:
        if len(values) > MAX_TIMESTEPS:
            raise ValueError(f"betas must be at most {MAX_TIMESTEPS} numbers inside (0, 1), not {len(values)}")
        betas = np.array(values, dtype=np.float64)
    except (TypeError, OverflowError) as error:  # not a list of numbers, or a number of hundreds of digits
        raise ValueError("betas must be a list of numbers inside (0, 1)") from error
    ends_at_one = betas.ndim == 1 and len(betas) > 1 and betas[-1] == 1.0
    inside = betas[:-1] if ends_at_one else betas
    if betas.ndim != 1 or not len(betas) or not ((inside > 0) & (inside < 1)).all():
        raise ValueError("betas must be a non-empty list of numbers inside (0, 1); the last may be 1")
    return betas


SCHEDULES: dict[str, Callable[..., Betas]] = {
    "linear": linear,
    "quadratic": quadratic,
    "cosine": cosine,
    "sigmoid": sigmoid,
    "sigmoid_alpha_bar": sigmoid_alpha_bar,
}
