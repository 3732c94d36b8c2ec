"""What this machine has, what works with it, and what to install for the rest."""

import ctypes
import importlib
import os
import platform
import subprocess
from dataclasses import dataclass
from typing import Any

EXTRAS = {"onnxruntime": "cpu", "tensorrt": "tensorrt", "tensorrt_rtx": "rtx", "torch": "export", "onnx": "export"}
MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
NOT_RTX = ("8.7", "9.0", "10.0", "10.3", "11.0")  # GPUs of data centres and of Jetson, as far as they are known


@dataclass(frozen=True)
class Gpu:
    """One GPU, as the driver describes it."""

    name: str
    compute_capability: str  # 8.9
    memory: int  # bytes


def gpus() -> list[Gpu]:
    """The GPUs that NVIDIA's driver knows; none where there is no driver."""
    driver = cuda_driver()
    count = ctypes.c_int()
    if driver is None or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    return [_gpu(driver, index) for index in range(count.value)]


def cuda_driver() -> Any:
    """libcuda, started, or None."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        try:
            driver = ctypes.CDLL(name)
        except OSError:
            continue
        return driver if driver.cuInit(0) == 0 else None
    return None


def cuda_version() -> str | None:
    """The newest CUDA that the driver runs."""
    driver, version = cuda_driver(), ctypes.c_int()
    if driver is None or driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


def driver_version() -> str | None:
    """The driver's own number, which is nvidia-smi's to tell."""
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.split()
    except (OSError, subprocess.SubprocessError):
        return None
    return said[0] if said else None


def package_version(name: str) -> str | None:
    """The version of a package that can be imported here, or None."""
    try:
        return str(importlib.import_module(name).__version__)
    except (ImportError, OSError, RuntimeError, AttributeError):  # without the libraries it looks for, for one
        return None


def facts() -> dict[str, Any]:
    """All of it."""
    versions = {name: package_version(name) for name in EXTRAS}
    found = gpus()
    python = f"Python {platform.python_version()}"
    return {
        "system": f"{platform.system()} {platform.machine()}, {python}, {os.cpu_count()} cores",
        "gpus": [gpu.__dict__ for gpu in found],
        "driver": driver_version(),
        "cuda": cuda_version(),
        "packages": versions,
        "works": works(versions, found),
    }


def works(versions: dict[str, str | None], found: list[Gpu]) -> dict[str, str]:
    """What can be done here: `yes`, or what to do for it."""
    builds = versions["onnx"] is not None
    return {
        "sample unet.onnx, CPU": "yes" if versions["onnxruntime"] else install("cpu"),
        "export": "yes" if versions["torch"] and versions["onnx"] else install("export"),
        "build for TensorRT": _build_tensorrt(versions, found) if builds else install("export"),
        "build for TensorRT-RTX": _build_rtx(versions, found) if builds else install("export"),
        "refit a plan": _refit(versions, found),
        "sample unet.plan": "not yet: this version samples ONNX files",
    }


def _build_tensorrt(versions: dict[str, str | None], found: list[Gpu]) -> str:
    if not found:
        return "no: it needs the GPU that the plan is for, and NVIDIA's driver"
    return f"yes, for compute capability {found[0].compute_capability}" if versions["tensorrt"] else install("tensorrt")


def _build_rtx(versions: dict[str, str | None], found: list[Gpu]) -> str:
    if not versions["tensorrt_rtx"]:
        return install("rtx")
    here = [gpu.compute_capability for gpu in found]
    if any(capability in NOT_RTX for capability in here):
        return f"yes, but not for the GPU here: its {here[0]} is not among those of TensorRT-RTX"
    return "yes, without a GPU too"


def _refit(versions: dict[str, str | None], found: list[Gpu]) -> str:
    if not found:
        return "no: it needs the GPU that the plan is for, and NVIDIA's driver"
    if not versions["onnx"]:
        return install("export")
    there = versions["tensorrt"] or versions["tensorrt_rtx"]
    return "yes, with the TensorRT that built it; not yet run by us" if there else install("tensorrt")


def install(extra: str) -> str:
    """What to type."""
    return f"no: pip install 'ddpm-rt[{extra}]'"


def describe(found: dict[str, Any]) -> str:
    """`facts` as lines for a person."""
    cards = [f"{gpu['name']}, {gpu['compute_capability']}, {gpu['memory'] >> 20} MiB" for gpu in found["gpus"]]
    lines = {
        "system": found["system"],
        "GPU": "; ".join(cards) or "none that NVIDIA's driver knows",
        "driver": f"{found['driver'] or 'none'}, CUDA {found['cuda'] or 'none'}",
        **{name: version or f"- ('ddpm-rt[{EXTRAS[name]}]')" for name, version in found["packages"].items()},
    }
    width = max(map(len, [*lines, *found["works"]]))
    rows = [f"{name:<{width}}  {value}" for name, value in lines.items()]
    return "\n".join([*rows, "", *(f"{name:<{width}}  {value}" for name, value in found["works"].items())])


def _gpu(driver: Any, index: int) -> Gpu:
    device, memory, name = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(256)
    driver.cuDeviceGet(ctypes.byref(device), index)
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    numbers = []
    for attribute in (MAJOR, MINOR):
        value = ctypes.c_int()
        driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        numbers.append(str(value.value))
    return Gpu(name.value.decode(errors="replace"), ".".join(numbers), memory.value)
