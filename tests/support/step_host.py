"""The kernels of the package on the host: compiles `step_host.cpp`, and calls it as the driver calls a kernel."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from ddpm_rt.include import include_folder

FLAGS = ["-std=c++20", "-O2", "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror"]
# The headers must prevent fused operations even though the compiler may fuse.
FUSING = ["-march=native", "-ffp-contract=fast"]


def compile_step_host(folder: Path) -> None:
    """Compile step_host.so in `folder`. Skips the test without a compiler."""
    compiler = shutil.which("g++")
    if compiler is None:
        pytest.skip("no g++ on this machine, so the kernels cannot be compiled for the host")
    source = Path(__file__).parent / "step_host.cpp"
    command = [compiler, *FLAGS, *FUSING, f"-I{include_folder()}", str(source), "-o", str(folder / "step_host.so")]
    subprocess.run(command, check=True)


class StepHost:
    """The library. `launch` has the arguments of cuLaunchKernel; `step` makes them from arrays."""

    def __init__(self, library: Path):
        self.library = ctypes.CDLL(str(library))
        self.library.ddpm_rt_host_launch.argtypes = [
            *(ctypes.c_char_p, ctypes.c_void_p),
            *[ctypes.c_uint] * 3,
            ctypes.c_ulonglong,
        ]
        self.library.ddpm_rt_host_condition.argtypes = [ctypes.c_ulonglong]

    def launch(self, name: str, params: int, grid: tuple[int, ...], *, block: int = 256, shuffle: int = 0) -> None:
        """Run a kernel: `params` is the address of an array of pointers to its parameters."""
        status = self.library.ddpm_rt_host_launch(name.encode(), params, grid[0], grid[1], block, shuffle)
        assert status == 0, f"{name}: {['', 'no such kernel', 'no such grid', 'a barrier not all came to'][status]}"

    def condition(self, handle: int) -> int:
        """The last condition of the while node with this handle; -1 if it has none."""
        return int(self.library.ddpm_rt_host_condition(handle))

    def call(self, name, arrays, counts, grid, *, handle=None, shuffle=0):
        """Run a kernel on arrays (None: a null pointer), in the order of the parameters."""
        values = [ctypes.c_void_p(None if array is None else array.ctypes.data) for array in arrays]
        values += [ctypes.c_uint(count) for count in counts]
        if handle is not None:
            values.append(ctypes.c_ulonglong(handle))
        params = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        self.launch(name, ctypes.addressof(params), grid, shuffle=shuffle)

    def normals(self, seed: int, sample: int, step: int, first_quad: int, quads: int):
        out = np.empty(4 * quads, np.float32)
        self.library.ddpm_rt_host_normals(
            *(ctypes.c_ulonglong(seed), ctypes.c_ulonglong(sample)),
            *(ctypes.c_uint(number) for number in (step, first_quad, quads)),
            ctypes.c_void_p(out.ctypes.data),
        )
        return out

    def exp(self, x):
        x, out = np.ascontiguousarray(x, np.float32), np.empty(np.shape(x), np.float32)
        self.library.ddpm_rt_host_exp(
            ctypes.c_void_p(x.ctypes.data), ctypes.c_size_t(x.size), ctypes.c_void_p(out.ctypes.data)
        )
        return out


class HostChain:
    """The buffers of one batch, and the kernels on them."""

    def __init__(self, host: StepHost, rows, lanes, size: int, *, learned=False, guided=False, one_time=False, t=0):
        from ddpm_rt.device.lanes import TIME_TYPES, grid_of

        self.host, self.rows, self.lanes, self.grid = host, rows, lanes, grid_of(size, len(lanes))
        images, out_size = len(lanes) * (2 if guided else 1), size * (2 if learned else 1)
        # NaN until written, so that an early read is visible.
        self.x = np.full((images, size), np.nan, np.float32)
        self.x0 = np.full((images, size), np.nan, np.float32)  # of a guided batch twice, as x is
        self.out = np.full((images, out_size), np.nan, np.float32)
        self.t = np.full(1 if one_time else images, 77, TIME_TYPES[t])
        self.state = np.array([0, 0, 99, 0], np.uint32)
        self.counts = (len(lanes), size, out_size, t, len(self.t), int(guided))

    def run(self, name: str, *, handle: int | None = None, shuffle: int = 0) -> None:
        arrays = (self.x, self.x0, self.out, self.t, self.rows, self.lanes, self.state)
        self.host.call(name, arrays, self.counts, self.grid, handle=handle, shuffle=shuffle)
