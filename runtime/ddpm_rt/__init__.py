"""Torch-free sampling of DDPMs.

>>> import ddpm_rt
>>> images = ddpm_rt.sample(seed=7, count=16)             # float32 [16, 1, 28, 28], the bundled model
>>> images = ddpm_rt.sample(sampler="ddpm", steps=20, count=4)
"""

from . import noise
from .api import open_denoiser, sample
from .api_edit import from_image, from_noise, inpaint, interpolate, invert
from .artifacts.card import ModelCard, Provenance
from .errors import DdpmRtError
from .host_loop import Step, trajectory
from .requests.inversion import ddim_inversion
from .requests.request import Request
from .samplers import ddim, ddpm, dpm, dpm_sde, euler, euler_ancestral, lcm
from .samplers.schedule import Schedule, logsnr_timesteps, timesteps
from .samplers.table import StepTable

__version__ = "0.1.0"

__all__ = [
    "DdpmRtError",
    "ModelCard",
    "Provenance",
    "Request",
    "Schedule",
    "Step",
    "StepTable",
    "ddim",
    "ddim_inversion",
    "ddpm",
    "dpm",
    "dpm_sde",
    "euler",
    "euler_ancestral",
    "from_image",
    "from_noise",
    "inpaint",
    "interpolate",
    "invert",
    "lcm",
    "logsnr_timesteps",
    "noise",
    "open_denoiser",
    "sample",
    "timesteps",
    "trajectory",
]
