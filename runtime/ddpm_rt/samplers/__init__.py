"""Samplers by name. A sampler is a function of a forward process and its levels that returns a step table."""

from collections.abc import Callable
from typing import NamedTuple

from .ancestral import ddpm
from .consistency import consistency
from .ddim import ddim, euler, euler_ancestral
from .lcm import lcm
from .multistep import dpm, dpm_sde
from .table import StepTable


class Sampler(NamedTuple):
    """`table(process, levels, prediction=..., **options)`."""

    table: Callable[..., StepTable]
    options: tuple[str, ...] = ()  # further keywords of the function, among those that `Request` can give
    processes: tuple[str, ...] = ("betas", "sigma", "flow")  # that it can sample


SAMPLERS = {
    "ddpm": Sampler(ddpm, ("variance", "last_noise"), ("betas",)),
    "ddim": Sampler(ddim, ("eta", "raw_eps", "leads_to")),
    "dpm++": Sampler(dpm),
    "dpm++sde": Sampler(dpm_sde),
    "euler": Sampler(euler),
    "euler-a": Sampler(euler_ancestral),
    "lcm": Sampler(lcm, processes=("betas",)),
    "consistency": Sampler(consistency, processes=("sigma",)),
}


def samplers_of(kind: str) -> dict[str, Sampler]:
    """The samplers of a process of betas, sigma or flow."""
    return {name: sampler for name, sampler in SAMPLERS.items() if kind in sampler.processes}


FITTED = "fitted"  # a step table that `ddpm-rt tune` fitted to one model: read from a file, not made by a function
NAMES = (*SAMPLERS, FITTED)

__all__ = [
    "FITTED",
    "NAMES",
    "SAMPLERS",
    "Sampler",
    "consistency",
    "ddim",
    "ddpm",
    "dpm",
    "dpm_sde",
    "euler",
    "euler_ancestral",
    "lcm",
    "samplers_of",
]
