"""Where implementations of the same paper differ, named, so that a model samples here as it did where it comes from.

ho2020     Ho et al. 2020 and its corrections: float64 tables, x0 clipped, DDIM's eps derived again after the clip, each
           step leading to the next timestep and the last to the data without noise.
guided     guided-diffusion and improved-diffusion: the same, but `linspace` adds up its stride in floating point and
           rounds as it goes, which for 278 of the 999 step counts from 2 to 1000 is another set of timesteps; and
           `leading` is its `ddimN`: the smallest stride that gives N timesteps, an error where there is none.
diffusers  float32 alpha_bar and everything derived from it, betas included; DDIM keeps the network's eps when x0 is
           clipped and leads to t - T // steps; DDPM adds noise in its last step unless that is at t = 0;
           DPM-Solver++ counts one timestep more than it uses, and like Euler never clips, and takes 2^-24 for an
           alpha_bar of 0.

What is an error in diffusers is not repeated: DDIM with `linspace` or listed timesteps leads to the next timestep
(there t - T // steps is another noise level than the network is told next); fixed_large_log, not a number there, is
fixed_large; `learned` is the logarithm of the variance, as in the paper, there the variance itself, not a number where
negative; DPM-Solver++ with `linspace` and T steps, or `leading` where the stride is 0, visits a timestep twice and
divides by zero, here a ValueError. Its Euler starts from sqrt(1 - alpha_bar) z, every sampler here from z.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .schedule import Floats, Integers, Schedule, Spacing, logsnr_timesteps, timesteps

DialectName = Literal["ho2020", "guided", "diffusers"]
Clip = tuple[float, float] | None
SOLVERS = frozenset({"dpm++", "dpm++sde"})  # DPMSolverMultistepScheduler of diffusers
SIGMA_SPACE = SOLVERS | {"euler", "euler-a"}  # those of its schedulers that think in sqrt((1 - alpha_bar) / alpha_bar)


@dataclass(frozen=True)
class Dialect:
    """What differs; the defaults are ho2020's."""

    precision: type[np.floating[Any]] = np.float64
    raw_eps: bool = False  # ddim: eps as the network says it, not derived again from a clipped x0
    last_noise: bool = False  # ddpm: noise in the last step too, unless it is at t = 0
    strided: bool = False  # ddim leads to t - T // steps
    summed: bool = False  # linspace by adding up
    exact_stride: bool = False  # leading by the smallest stride that gives as many timesteps as steps
    unclipped: frozenset[str] = frozenset()  # samplers without a clip
    one_more: frozenset[str] = frozenset()  # samplers whose linspace and leading are for steps + 1, the last left out
    zero_alpha_bar: float = 0.0  # of the unclipped ones

    def schedule(self, betas: Floats, sampler: str) -> Schedule:
        """The schedule that `sampler` works with."""
        return Schedule(betas, self.precision, self.zero_alpha_bar if sampler in self.unclipped else 0.0)

    def clip(self, clip: Clip, sampler: str) -> Clip:
        """The range that `sampler` clips a predicted x0 to."""
        return None if sampler in self.unclipped else clip

    def timesteps(self, schedule: Schedule, steps: int, spacing: Spacing, sampler: str) -> Integers:
        """Those that `sampler` visits. Raises ValueError for what `ddpm_rt.timesteps` does."""
        if spacing == "logsnr":  # ours alone
            return logsnr_timesteps(schedule, steps)
        train_steps, chosen = len(schedule), timesteps(len(schedule), steps, spacing)
        if self.exact_stride and spacing == "leading":
            return _exact_stride(train_steps, steps)
        if self.summed and spacing == "linspace":
            return _summed_linspace(train_steps, steps)
        if sampler in self.one_more and spacing == "linspace":
            return np.round(np.linspace(0, train_steps - 1, steps + 1))[:0:-1].astype(np.int64)
        if sampler in self.one_more and spacing == "leading":
            return np.arange(steps, 0, -1) * (train_steps // (steps + 1))
        return chosen

    def leads_to(self, timesteps: Integers, train_steps: int, spacing: Spacing | None) -> Integers | None:
        """The timestep that each step of ddim goes to, or None for the next. No spacing: the timesteps were listed."""
        if not self.strided or spacing not in ("leading", "trailing"):
            return None
        return np.maximum(timesteps - train_steps // len(timesteps), -1)


def _summed_linspace(train_steps: int, steps: int) -> Integers:
    stride = (train_steps - 1) / (steps - 1) if steps > 1 else 1.0
    # cumsum adds one after the other, as a loop would
    return np.round(np.cumsum(np.append(0.0, np.full(steps - 1, stride))))[::-1].astype(np.int64)


def _exact_stride(train_steps: int, steps: int) -> Integers:
    """`ddimN` of guided-diffusion, N = `steps`. Raises ValueError where no stride below T gives N timesteps."""
    stride = -(-train_steps // steps)
    if stride >= train_steps > 1 or len(range(0, train_steps, stride)) != steps:
        raise ValueError(
            f"no integer stride visits {steps} of {train_steps} timesteps, as ddim{steps} of guided-diffusion would; "
            "choose another count of steps or another spacing"
        )
    return np.arange(0, train_steps, stride, dtype=np.int64)[::-1].copy()


DIALECTS: dict[str, Dialect] = {
    "ho2020": Dialect(),
    "guided": Dialect(summed=True, exact_stride=True),
    "diffusers": Dialect(
        precision=np.float32,
        raw_eps=True,
        last_noise=True,
        strided=True,
        unclipped=SIGMA_SPACE,
        one_more=SOLVERS,
        zero_alpha_bar=2.0**-24,
    ),
}
