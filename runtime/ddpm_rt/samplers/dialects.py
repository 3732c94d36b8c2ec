"""Dialects: the conventions in which implementations of the same paper differ.

ho2020     Ho et al. 2020 and its corrections. Tables are float64 and x0 is clipped. DDIM derives eps again from the
           clipped x0. Each step leads to the next timestep, and the last step to the data, without noise.
guided     guided-diffusion and improved-diffusion: as ho2020, but `linspace` accumulates its stride in floating point
           and rounds every sum. The timesteps differ for 278 of the 999 step counts from 2 to 1000. `leading` is its
           `ddimN`: the smallest stride that gives N timesteps, and an error if no stride does.
diffusers  The betas, alpha_bar and everything derived from them are float32. DDIM keeps the network's eps when x0 is
           clipped, and each step leads to t - T // steps. DDPM adds noise in its last step, unless that is at t = 0.
           DPM-Solver++ spaces one timestep more than it uses. DPM-Solver++ and Euler never clip, and use 2^-24 in
           place of an alpha_bar of 0.

The dialect diffusers does not reproduce these errors of diffusers:

-   DDIM with `linspace` or listed timesteps: a step leads to t - T // steps, which is not the noise level of the
    network's next call. Here it leads to the next timestep.
-   `fixed_large_log` gives NaN. Here it is fixed_large.
-   `learned` uses the spread as the variance, which gives NaN where the spread is negative. Here the spread is the
    logarithm of the variance, as in the paper.
-   DPM-Solver++ with `linspace` and T steps, or with `leading` and stride 0, visits a timestep twice and divides by
    zero. Here it raises ValueError.
-   Euler starts from sqrt(1 - alpha_bar) z. Here every sampler starts from z.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .schedule import Floats, Integers, Levels, Schedule, Spacing, logsnr_timesteps, timesteps

DialectName = Literal["ho2020", "guided", "diffusers"]
Clip = tuple[float, float] | None
SOLVERS = frozenset({"dpm++", "dpm++sde"})  # DPMSolverMultistepScheduler of diffusers
SIGMA_SPACE = SOLVERS | {"euler", "euler-a"}  # its schedulers that work with sqrt((1 - alpha_bar) / alpha_bar)


@dataclass(frozen=True)
class Dialect:
    """The conventions of one implementation. The defaults are ho2020's."""

    precision: type[np.floating[Any]] = np.float64
    raw_eps: bool = False  # ddim: eps from the network's output, not derived again from the clipped x0
    last_noise: bool = False  # ddpm: noise in the last step too, unless it is at t = 0
    strided: bool = False  # ddim leads to t - T // steps
    summed: bool = False  # linspace by adding up
    exact_stride: bool = False  # leading by the smallest stride that gives as many timesteps as steps
    unclipped: frozenset[str] = frozenset()  # samplers without a clip
    one_more: frozenset[str] = frozenset()  # samplers that space steps + 1 timesteps (linspace, leading), drop the last
    zero_alpha_bar: float = 0.0  # replaces an alpha_bar of 0, for the unclipped samplers

    def schedule(self, betas: Floats, sampler: str) -> Schedule:
        """The schedule for `sampler`, with this dialect's precision."""
        return Schedule(betas, self.precision, self.zero_alpha_bar if sampler in self.unclipped else 0.0)

    def clip(self, clip: Clip, sampler: str) -> Clip:
        """The range that `sampler` clips the predicted x0 to: `clip`, or None for a sampler that never clips."""
        return None if sampler in self.unclipped else clip

    def timesteps(self, schedule: Schedule, steps: int, spacing: Spacing, sampler: str) -> Levels:
        """The timesteps that `sampler` visits, descending `[steps]`, int64 but for karras.

        Raises ValueError as `timesteps` does.
        """
        if spacing == "logsnr":  # no other implementation has it
            return logsnr_timesteps(schedule, steps)
        if spacing == "karras":
            return schedule.karras_timesteps(steps)
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
        """The timestep that each step of ddim leads to; None for the next. `spacing` is None for listed timesteps."""
        if not self.strided or spacing not in ("leading", "trailing"):
            return None
        return np.maximum(timesteps - train_steps // len(timesteps), -1)


def _summed_linspace(train_steps: int, steps: int) -> Integers:
    stride = (train_steps - 1) / (steps - 1) if steps > 1 else 1.0
    # cumsum adds in sequence, as the loop of guided-diffusion does
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
