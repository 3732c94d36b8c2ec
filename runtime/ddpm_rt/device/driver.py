"""One GPU through NVIDIA's cuda-core: opening it, its memory, and its errors as one line."""

import ctypes
import importlib
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..errors import DdpmRtError
from ..extras import install_command

ALIGNMENT = 256  # bytes; cuMemAlloc's guarantee, and enough for every engine
MIB = 1 << 20
NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
INSTALL = install_command("cuda")
Thing = TypeVar("Thing")
OF_POOL = "Failed to allocate memory from pool"  # cuda-core 1.0 raises RuntimeError with this text


def open_gpu(number: int = 0) -> Any:
    """The `cuda.core.Device` of that number, made current in this thread.

    Raises DdpmRtError when there is no cuda-core, no driver, or no such device, ValueError for a negative number.
    """
    if number < 0:
        raise ValueError(f"device must be at least 0, not {number}")
    try:
        found = gpu_count()
    except DdpmRtError as error:
        raise DdpmRtError(f"GPU {number} cannot be used: {error}; install a driver, or sample on the CPU") from error
    if number >= found:
        raise DdpmRtError(f"there is no GPU {number}: {_counted(found)}")
    core = cuda_core()
    with cuda_errors("the GPU cannot be opened"):
        device = core.Device(number)
        device.set_current()
    return device


def gpu_count() -> int:
    """The number of GPUs that the driver finds. Raises DdpmRtError without a driver, or when it does not start."""
    driver = driver_library()
    if driver is None:
        raise DdpmRtError("no NVIDIA driver was found")
    count = ctypes.c_int()
    if (status := driver.cuInit(0)) not in (0, NO_DEVICE):
        raise DdpmRtError(f"NVIDIA's driver does not start (error {status})")
    return 0 if status or driver.cuDeviceGetCount(ctypes.byref(count)) else count.value


def driver_library() -> Any:
    """The library of NVIDIA's driver, not initialised; None without one."""
    for name in ("libcuda.so.1", "nvcuda.dll"):
        with suppress(OSError):
            return ctypes.CDLL(name)
    return None


def cuda_core() -> Any:
    """The module `cuda.core`. Raises DdpmRtError when it is not installed."""
    try:
        return importlib.import_module("cuda.core")
    except ImportError as error:
        raise DdpmRtError(f"sampling on a GPU needs cuda-core: {INSTALL}") from error


def _counted(found: int) -> str:
    if found == 0:
        return "the driver finds none"
    return "the only one is 0" if found == 1 else f"they are 0 to {found - 1}"


@contextmanager
def cuda_errors(doing: str) -> Iterator[None]:
    """Turns what CUDA raises into DdpmRtError(doing: reason)."""
    try:
        yield
    except Exception as error:
        if not _is_cuda(error):
            raise
        raise DdpmRtError(f"{doing}: {_reason(error)}") from error


def _is_cuda(error: Exception) -> bool:
    named = any(kind.__name__ == "CUDAError" for kind in type(error).__mro__)  # its module is private
    return named or str(error).startswith(OF_POOL)


def _reason(error: Exception) -> str:
    text = (str(error).splitlines() or [type(error).__name__])[0]
    if "OUT_OF_MEMORY" in text or text.startswith(OF_POOL):
        return "the GPU is out of memory; ask for smaller batches"
    return text.split(". ")[0].rstrip(".")  # the driver's name of the error, and the first of its many sentences


class Arena:
    """One block of device memory, zeroed, split into named parts with fixed addresses.

    Raises DdpmRtError when the GPU lacks the memory.
    """

    def __init__(self, device: Any, stream: Any, sizes: Mapping[str, int]) -> None:
        rounded = [-(-size // ALIGNMENT) * ALIGNMENT for size in sizes.values()]
        self.bytes = sum(rounded)
        with cuda_errors(f"no {self.bytes / MIB:.0f} MiB for a batch"):
            self._whole = device.allocate(self.bytes, stream=stream)
            self._whole.fill(0, stream=stream)
        self._stream, self._buffer = stream, cuda_core().Buffer
        begins = int(self._whole.handle) + np.cumsum([0, *rounded[:-1]])
        self._parts = {name: (int(begin), sizes[name]) for name, begin in zip(sizes, begins, strict=True)}

    def address(self, name: str) -> int:
        """The address of a part; 0 for an empty part."""
        address, size = self._parts[name]
        return address if size else 0

    def buffer(self, name: str, begin: int = 0, size: int | None = None) -> Any:
        """`size` bytes of a part from `begin`, by default the whole part, as a `cuda.core.Buffer` that owns nothing."""
        address, whole = self._parts[name]
        return self._buffer.from_handle(address + begin, whole - begin if size is None else size)

    def close(self) -> None:
        """Frees the memory after all work queued on its stream."""
        self._whole.close(self._stream)


class Pinned:
    """An array in pinned host memory: the GPU copies from and to it while the host continues."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        dtype = np.dtype(dtype)
        size = int(np.prod(shape)) * dtype.itemsize
        with cuda_errors(f"no {size / MIB:.0f} MiB of pinned memory"):
            self.buffer = cuda_core().LegacyPinnedMemoryResource().allocate(size)
        memory = (ctypes.c_char * size).from_address(int(self.buffer.handle))
        memory.buffer = self.buffer  # keeps the buffer alive; NumPy 2.0 could not write to an array from DLPack
        self.array: NDArray[Any] = np.frombuffer(memory, dtype).reshape(shape)

    def close(self) -> None:
        """Frees the memory; `array` must not be read afterwards."""
        self.buffer.close()


class Resources(ExitStack):
    """Streams, events, graphs and memory, which `close` closes, the last one first."""

    def add(self, thing: Thing) -> Thing:
        """`thing`, whose `close` is called at the end."""
        self.callback(thing.close)  # type: ignore[attr-defined]
        return thing
