"""Torch-free sampling of DDPMs.

>>> import ddpm_rt
>>> images = ddpm_rt.sample(seed=7, count=16)             # float32 [16, 1, 28, 28], the bundled model
>>> images = ddpm_rt.sample("unet.onnx", sampler="ddpm", steps=1000)
"""

from . import noise
from .api import open_denoiser, sample
from .between import interpolate
from .card import ModelCard, Provenance
from .edit import from_image, inpaint
from .errors import DdpmRtError
from .inversion import ddim_inversion, from_noise, invert
from .request import Request
from .sampler import Step, trajectory
from .schedule import Schedule, StepTable, ddim, ddpm, timesteps

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
    "from_image",
    "from_noise",
    "inpaint",
    "interpolate",
    "invert",
    "noise",
    "open_denoiser",
    "sample",
    "timesteps",
    "trajectory",
]
