"""Torch-free sampling of DDPMs.

>>> import ddpm_rt
>>> images = ddpm_rt.sample(seed=7, count=16)             # float32 [16, 1, 28, 28], the bundled model
>>> images = ddpm_rt.sample(sampler="ddpm", steps=20, count=4)
"""

from . import noise
from .api import open_denoiser, sample
from .card import ModelCard, Provenance
from .errors import DdpmRtError
from .sampler import Step, trajectory
from .samplers import ddim, ddpm, dpm, dpm_sde, euler, euler_ancestral, lcm
from .schedule import Schedule, logsnr_timesteps, timesteps
from .table import StepTable

__version__ = "0.1.0"

__all__ = [
    "DdpmRtError",
    "ModelCard",
    "Provenance",
    "Schedule",
    "Step",
    "StepTable",
    "ddim",
    "ddpm",
    "dpm",
    "dpm_sde",
    "euler",
    "euler_ancestral",
    "lcm",
    "logsnr_timesteps",
    "noise",
    "open_denoiser",
    "sample",
    "timesteps",
    "trajectory",
]
