"""The report of `ddpm-rt doctor`: hardware and packages, which commands work, and what the others still need."""

import importlib
import os
import platform
import subprocess
from typing import TYPE_CHECKING, Any

from ..device.gpus import NOT_RTX, Gpu, cuda_version, gpus
from ..engines.onnx_runtime import onnx_runtime
from ..errors import DdpmRtError
from ..extras import EXTRAS, Extra, install_command

if TYPE_CHECKING:
    from ..engines.engine_options import Provider

PACKAGES = ("onnxruntime", "cuda.core", "tensorrt", "tensorrt_rtx", "torch", "onnx")
LEAN = "tensorrt_lean"  # TensorRT's lean runtime, for version-compatible plans; no extra installs it
NO_GPU = "no: it needs a GPU and NVIDIA's driver"


def driver_version() -> str | None:
    """The version of NVIDIA's driver, from nvidia-smi; None without a driver."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return said[0] if said else None


def package_version(name: str) -> str | None:
    """The version of an installed package, or None if it cannot be imported."""
    try:
        return str(importlib.import_module(name).__version__)
    except (ImportError, OSError, RuntimeError, AttributeError):  # for example if a shared library is missing
        return None


def facts() -> dict[str, Any]:
    """The system, its GPUs and driver, the versions of packages, and the commands that work."""
    versions, python = (
        {name: package_version(name) for name in (*PACKAGES, LEAN)},
        f"Python {platform.python_version()}",
    )
    found, taken = gpus(), providers()
    return {
        "system": f"{platform.system()} {platform.machine()}, {python}, {os.cpu_count()} cores",
        "gpus": [gpu.__dict__ for gpu in found],
        "driver": driver_version(),
        "cuda": cuda_version(),
        "packages": versions,
        "providers": list(taken),
        "works": works(versions, found, taken),
    }


def providers() -> tuple[str, ...]:
    """The providers that the installed onnxruntime was built with."""
    try:
        return tuple(onnx_runtime().get_available_providers())
    except (
        ImportError,
        OSError,
        RuntimeError,
        AttributeError,
        DdpmRtError,
    ):  # DdpmRtError: two onnxruntime packages share a folder
        return ()


def works(versions: dict[str, str | None], found: list[Gpu], taken: tuple[str, ...] = ()) -> dict[str, str]:
    """Map each command to `yes`, or to what must be done first."""
    builds = versions["onnx"] is not None
    return {
        "sample unet.onnx, CPU": "yes" if versions["onnxruntime"] else install("cpu"),
        "sample unet.onnx, CUDA": _run_onnx(versions, found, taken, "cuda"),
        "sample unet.onnx, TensorRT": _run_onnx(versions, found, taken, "tensorrt"),
        "export": "yes" if versions["torch"] and versions["onnx"] else install("export"),
        "build for TensorRT": _build_tensorrt(versions, found) if builds else install("export"),
        "build for TensorRT-RTX": _build_rtx(versions, found) if builds else install("export"),
        "refit a plan": _refit(versions, found),
        "sample unet.plan, TensorRT": _run_plan(versions, found, "tensorrt"),
        "sample unet.plan, TensorRT-RTX": _run_plan(versions, found, "tensorrt_rtx"),
    }


def _run_onnx(versions: dict[str, str | None], found: list[Gpu], taken: tuple[str, ...], provider: "Provider") -> str:
    """Whether ONNX Runtime works on the GPU. An engine is opened to find out, because libraries may be missing."""
    if not found:
        return NO_GPU
    if f"{provider.lower()}executionprovider" not in map(str.lower, taken):
        return f"no: {'pip uninstall onnxruntime, then ' * bool(versions['onnxruntime'])}{install_command('gpu')}"
    if not versions["cuda.core"]:
        return install("cuda")
    from ..engines.opening import open_device_engine
    from ..models import bundled_model

    try:
        open_device_engine(bundled_model(), provider).engine.close()
    except DdpmRtError as error:
        return f"no: {error}"
    return "yes"


def _run_plan(versions: dict[str, str | None], found: list[Gpu], module: str) -> str:
    lean = versions.get(LEAN) if module == "tensorrt" else None
    if not found:
        return NO_GPU
    if not versions[module] and not lean:
        return install(EXTRAS[module])
    if module == "tensorrt_rtx" and (here := found[0].compute_capability) in NOT_RTX:
        return f"no: TensorRT-RTX does not support compute capability {here}"
    if not versions["cuda.core"]:
        return install("cuda")
    own = versions[module]
    return f"yes, plans of {own}" if own else f"yes, version-compatible plans of {lean} and older"


def _build_tensorrt(versions: dict[str, str | None], found: list[Gpu]) -> str:
    if not found:
        return "no: it needs the GPU that the plan is for, and NVIDIA's driver"
    return f"yes, for compute capability {found[0].compute_capability}" if versions["tensorrt"] else install("tensorrt")


def _build_rtx(versions: dict[str, str | None], found: list[Gpu]) -> str:
    if not versions["tensorrt_rtx"]:
        return install("rtx")
    here = [gpu.compute_capability for gpu in found]
    if any(capability in NOT_RTX for capability in here):
        return f"yes, but not for this GPU: TensorRT-RTX does not support compute capability {here[0]}"
    return "yes, even without a GPU"


def _refit(versions: dict[str, str | None], found: list[Gpu]) -> str:
    if not found:
        return "no: it needs the GPU that the plan is for, and NVIDIA's driver"
    if not versions["onnx"]:
        return install("export")
    there = versions["tensorrt"] or versions["tensorrt_rtx"]
    return "yes, with the TensorRT that built the plan; not yet tested on a GPU" if there else install("tensorrt")


def install(extra: Extra) -> str:
    """The answer if an extra is not installed."""
    return f"no: {install_command(extra)}"


def missing(package: str) -> str:
    """The text for a missing package, with the extra that installs it."""
    return f"- ('ddpm-rt[{EXTRAS[package]}]')" if package in EXTRAS else "-"


def describe(found: dict[str, Any]) -> str:
    """`facts` as aligned text."""
    cards = [f"{gpu['name']}, {gpu['compute_capability']}, {gpu['memory'] >> 20} MiB" for gpu in found["gpus"]]
    lines = {
        "system": found["system"],
        "GPU": "; ".join(cards) or "none found by NVIDIA's driver",
        "driver": f"{found['driver'] or 'none'}, CUDA {found['cuda'] or 'none'}",
        **{name: version or missing(name) for name, version in found["packages"].items()},
    }
    width = max(map(len, [*lines, *found["works"]]))
    parts = (f"{name:<{width}}  {value}" for name, value in [*lines.items(), ("", ""), *found["works"].items()])
    return "\n".join(part.rstrip() for part in parts)
