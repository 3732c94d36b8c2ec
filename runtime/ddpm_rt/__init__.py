"""Torch-free sampling of DDPMs.

>>> import ddpm_rt
>>> images = ddpm_rt.sample(seed=7, count=16)             # float32 [16, 1, 28, 28], the bundled model
>>> images = ddpm_rt.sample(sampler="ddpm", steps=20, count=4)
"""

import importlib

TYPE_CHECKING = False  # type checkers know this name; importing `typing` is slow
if TYPE_CHECKING:
    from . import noise
    from .api import open_denoiser, sample
    from .api_edit import from_image, from_noise, inpaint, interpolate, invert
    from .artifacts.card import ModelCard, Provenance
    from .errors import DdpmRtError
    from .host_loop import Beginning, Step, trajectory
    from .requests.inversion import ddim_inversion
    from .requests.request import Request
    from .samplers import ddim, ddpm, dpm, dpm_sde, euler, euler_ancestral, lcm
    from .samplers.schedule import Schedule, logsnr_timesteps, timesteps
    from .samplers.table import StepTable

__version__ = "0.1.0"

# The module of each public name. Names load lazily, because Python imports this file before the command line runs,
# which must handle signals before NumPy is loaded.
_MODULES = {
    "api": ("open_denoiser", "sample"),
    "api_edit": ("from_image", "from_noise", "inpaint", "interpolate", "invert"),
    "artifacts.card": ("ModelCard", "Provenance"),
    "errors": ("DdpmRtError",),
    "host_loop": ("Beginning", "Step", "trajectory"),
    "requests.inversion": ("ddim_inversion",),
    "requests.request": ("Request",),
    "samplers": ("ddim", "ddpm", "dpm", "dpm_sde", "euler", "euler_ancestral", "lcm"),
    "samplers.schedule": ("Schedule", "logsnr_timesteps", "timesteps"),
    "samplers.table": ("StepTable",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "Beginning",
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


def __getattr__(name: str) -> object:
    if name == "noise":
        return importlib.import_module(".noise", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
