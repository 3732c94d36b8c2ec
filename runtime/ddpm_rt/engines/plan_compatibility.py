"""Checks that a plan matches this machine's GPU and TensorRT, and gives the command that builds a matching plan."""

import importlib
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..artifacts.plan_build import FLAVOURS, Build
from ..artifacts.plan_record import PlanRecord
from ..device.gpus import NOT_RTX
from ..errors import DdpmRtError

LEAN = "tensorrt_lean"
Version = tuple[int, ...]


def load_runtime(plan: Path, record: PlanRecord, capability: str) -> Any:
    """The Python module that runs a plan with this record on a GPU of this compute capability.

    Raises DdpmRtError, before the plan is read, if it does not match the GPU or any installed TensorRT.
    """
    build = record.build
    again = rebuild_command(plan, build, capability)
    built = f"{plan} was built by {FLAVOURS[build.flavour]} {build.version}"
    if not fits(capability, build.compute_capabilities):
        wanted = ", ".join(build.compute_capabilities)
        raise DdpmRtError(f"{built} for compute capability {wanted}, but this GPU has {capability}; {again}")
    if not record.has_weights:
        raise DdpmRtError(f"{built} without its weights; add them with `ddpm-rt refit`, or {again}")
    found = {name: module for name in candidates(build) if (module := imported(name)) is not None}
    running = [module for module in found.values() if runs(module, build)]
    if running:  # the module of the same release comes first, then the lean runtime
        return max(running, key=lambda module: (release(module.__version__) == release(build.version), module.__name__))
    here = " and ".join(f"{name} {module.__version__}" for name, module in found.items())
    if not found:
        wanted = " or ".join(candidates(build))
        raise DdpmRtError(f"{built}, but {wanted} cannot be imported: {install(build)}")
    raise DdpmRtError(f"{built}, but the installed {here} cannot run it: {install(build)}, or {again}")


def candidates(build: Build) -> tuple[str, ...]:
    """The modules that may run a plan, in order of preference."""
    if build.flavour == "rtx":
        return ("tensorrt_rtx",)
    return ("tensorrt", LEAN) if build.options.get("version_compatible") else ("tensorrt",)


def runs(module: Any, build: Build) -> bool:
    """Whether a module runs a plan: the same release does, and later releases run version-compatible plans."""
    here, there = release(module.__version__), release(build.version)
    return here >= there if build.options.get("version_compatible") else here == there


def release(version: str) -> Version:
    """The release of TensorRT in a package version: 10.3.0 in 10.3.0.26."""
    return tuple(int(part) for part in version.split(".")[:3] if part.isdigit())


def imported(name: str) -> Any:
    """The module, or None if it or one of its libraries is missing."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError, RuntimeError):
        return None


def fits(capability: str, wanted: Sequence[str]) -> bool:
    """Whether a GPU's capability is in a list of `8.9` (exact) and `8.0+` (8.0 and newer)."""
    here = numbers(capability)
    return any(here >= numbers(one[:-1]) if one.endswith("+") else here == numbers(one) for one in wanted)


def numbers(text: str) -> Version:
    return tuple(map(int, text.split(".")))


def install(build: Build) -> str:
    """The command that installs the release that built the plan."""
    package = {"tensorrt": "tensorrt", "rtx": "tensorrt-rtx-cu13"}[build.flavour]
    return f"pip install '{package}=={'.'.join(map(str, release(build.version)))}.*'"


def rebuild_command(plan: Path, build: Build, capability: str) -> str:
    """Advice: the `ddpm-rt build` command with the plan's options, for this machine's GPU."""
    options, flavour = dict(build.options), "tensorrt" if capability in NOT_RTX else build.flavour
    files = shlex.quote(next(iter(build.onnx), "unet.onnx")), "-o", shlex.quote(str(plan))
    words = ["ddpm-rt build", *files, "--flavour", flavour]
    if options.get("batch") is not None:
        words += ["--batch", options["batch"]]
    if flavour == "rtx" and (wanted := asked_capabilities(build.compute_capabilities, capability)):
        words += ["--compute-capability", ",".join(wanted)]
    if numbers(capability) < (8, 0) and options.get("hardware_compatible") == "ampere+":
        del options["hardware_compatible"]
    words += [
        f"--{name.replace('_', '-')}" for name in ("tf32", "refittable", "version_compatible") if options.get(name)
    ]
    for name in ("hardware_compatible", "level", "workspace"):
        if options.get(name) is not None:
            words += [f"--{name.replace('_', '-')}", str(options[name])]
    return f"build it again with `{' '.join(words)}`"


def asked_capabilities(built: Sequence[str], capability: str) -> list[str]:
    """The capabilities of the plan and of this GPU; empty for a plan of the default, which covers newer GPUs."""
    asked = [one for one in built if not one.endswith("+")]
    return asked if fits(capability, built) else [*asked, capability]
