"""Samplers by name. A sampler is a function of a schedule and timesteps that returns a step table."""

from collections.abc import Callable
from typing import NamedTuple

from .ancestral import ddpm
from .ddim import ddim, euler, euler_ancestral
from .lcm import lcm
from .multistep import dpm, dpm_sde
from .table import StepTable


class Sampler(NamedTuple):
    """`table(schedule, timesteps, prediction=..., **options)`."""

    table: Callable[..., StepTable]
    options: tuple[str, ...] = ()  # further keywords of the function, among those that `Request` can give


SAMPLERS = {
    "ddpm": Sampler(ddpm, ("variance", "last_noise")),
    "ddim": Sampler(ddim, ("eta", "raw_eps", "leads_to")),
    "dpm++": Sampler(dpm),
    "dpm++sde": Sampler(dpm_sde),
    "euler": Sampler(euler),
    "euler-a": Sampler(euler_ancestral),
    "lcm": Sampler(lcm),
}

FITTED = "fitted"  # a step table that `ddpm-rt tune` fitted to one model: read from a file, not made by a function
NAMES = (*SAMPLERS, FITTED)

__all__ = [
    "FITTED",
    "NAMES",
    "SAMPLERS",
    "Sampler",
    "ddim",
    "ddpm",
    "dpm",
    "dpm_sde",
    "euler",
    "euler_ancestral",
    "lcm",
]
