"""The GPUs of this machine, as NVIDIA's driver describes them."""

import ctypes
from dataclasses import dataclass
from typing import Any

from .driver import driver_library

MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
NOT_RTX = ("8.7", "9.0", "10.0", "10.3", "11.0")  # known capabilities of data-centre GPUs and Jetson


@dataclass(frozen=True)
class Gpu:
    """One GPU, as the driver describes it."""

    name: str
    compute_capability: str  # such as 8.9
    memory: int  # bytes


def gpus() -> list[Gpu]:
    """The GPUs that NVIDIA's driver knows; none where there is no driver."""
    driver = cuda_driver()
    count = ctypes.c_int()
    if driver is None or driver.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return []
    return [_gpu(driver, index) for index in range(count.value)]


def cuda_driver() -> Any:
    """The initialised driver library, or None."""
    driver = driver_library()
    return driver if driver is not None and driver.cuInit(0) == 0 else None


def cuda_version() -> str | None:
    """The newest CUDA version that the driver supports; None without a driver."""
    driver, version = cuda_driver(), ctypes.c_int()
    if driver is None or driver.cuDriverGetVersion(ctypes.byref(version)) != 0:
        return None
    return f"{version.value // 1000}.{version.value % 1000 // 10}"


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
