"""The machine that the figures belong to: the GPU, its driver, and the versions of the packages."""

import importlib.metadata
import platform
import subprocess
from typing import Any

PACKAGES = ("numpy", "cuda-core", "cuda-bindings", "nvidia-cuda-nvrtc", "torch", "triton", "diffusers", "onnx",
            "onnxruntime", "onnxruntime-gpu", "tensorrt", "tensorrt-rtx-cu13")  # fmt: skip
Machine = dict[str, Any]


def describe(device: Any = None) -> Machine:
    """This machine as a JSON object; without a device, only the platform and the package versions."""
    machine: Machine = {"platform": platform.platform(), "python": platform.python_version(), "versions": versions()}
    return machine if device is None else machine | gpu(device)


def versions() -> dict[str, str]:
    """The versions of the installed packages of `PACKAGES`."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def gpu(device: Any) -> Machine:
    """The device, its driver, and the CUDA versions."""
    from cuda.bindings import driver, nvrtc

    def version(answer: tuple[Any, ...]) -> str:
        _, *numbers = answer
        return ".".join(map(str, numbers if len(numbers) > 1 else (numbers[0] // 1000, numbers[0] % 1000 // 10)))

    _, _, memory = driver.cuMemGetInfo()
    return {
        "gpu": device.name,
        "capability": device.arch,
        "memory_mib": int(memory) >> 20,
        "cuda_of_driver": version(driver.cuDriverGetVersion()),
        "nvrtc": version(nvrtc.nvrtcVersion()),
        "driver": _of_smi("driver_version"),
        "clock": _of_smi("clocks.max.sm"),
        "power": _of_smi("power.limit"),
    }


def _of_smi(what: str) -> str:
    try:
        command = ["nvidia-smi", f"--query-gpu={what}", "--format=csv,noheader", "--id=0"]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"
