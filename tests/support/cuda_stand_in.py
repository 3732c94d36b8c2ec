"""The Python side of a stand-in for the CUDA driver, on which cuda.core runs without a GPU."""

import ctypes
import gc
import hashlib
import os
import shutil
import subprocess
import tempfile
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from shared_files import SharedFiles

SOURCES = Path(__file__).parent / "cuda_stand_in"
KERNEL = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_void_p), *[ctypes.c_uint] * 6)
EXTENTS = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(ctypes.c_uint64))
ENQUEUED = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
TYPES = {
    "P": ctypes.c_uint64,
    "Q": ctypes.c_uint64,
    "q": ctypes.c_int64,
    "I": ctypes.c_uint32,
    "i": ctypes.c_int32,
    "f": ctypes.c_float,
    "d": ctypes.c_double,
}

# Functions of the driver that a loop must not call between its steps.
ALLOCATIONS = {"cuMemAlloc", "cuMemAllocHost", "cuMemHostAlloc", "cuMemAllocAsync", "cuMemAllocFromPoolAsync"}
ALLOCATIONS |= {"cuStreamCreate", "cuEventCreate", "cuLibraryLoadData", "cuGraphInstantiate"}
COPIES_NOW = {"cuMemcpy", "cuMemcpyHtoD", "cuMemcpyDtoH", "cuMemcpyDtoD"}
COPIES = {"cuMemcpyAsync", "cuMemcpyHtoDAsync", "cuMemcpyDtoHAsync", "cuMemcpyDtoDAsync"} | COPIES_NOW
WAITS = {"cuStreamSynchronize", "cuEventSynchronize", "cuCtxSynchronize", "wait for pageable memory"} | COPIES_NOW
RELEASES = {"cuMemFree", "cuMemFreeHost", "cuMemFreeAsync", "cuStreamDestroy", "cuEventDestroy", "cuGraphExecDestroy"}


class Call(NamedTuple):
    """A call of the driver ("call"), a piece of work that ran on the device ("run"), a mark of the test, or a note."""

    kind: str
    name: str
    stream: int
    size: int  # bytes; of a kernel that ran, blocks; of a graph, nodes
    result: int  # 0 or the driver's error


class Settings(ctypes.Structure):
    """The properties of the device. Each test starts with the defaults of world.h."""

    devices: int
    major: int
    minor: int
    version: int  # of the driver: 13000 is 13.0
    eager: int  # 1: work runs when it is enqueued, the other extreme of what a device may do
    memory: int
    while_limit: int
    name: bytes
    _fields_: ClassVar = [
        *[(name, ctypes.c_int) for name in ("devices", "major", "minor", "version", "eager")],
        ("memory", ctypes.c_size_t),
        ("while_limit", ctypes.c_uint),
        ("name", ctypes.c_char * 256),
    ]


def has_driver() -> bool:
    """Whether this machine has a CUDA driver of its own."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return not hasattr(driver, "stand_in_reset")


def build() -> Path:
    """The compiled stand-in, cached in the temporary folder under the hash of its sources."""
    sources = sorted(SOURCES.iterdir())
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    built = SharedFiles(Path(tempfile.gettempdir()) / f"ddpm-rt-tests-{os.getuid()}")
    return built.folder(f"cuda-stand-in-{digest}", compile_stand_in) / "libcuda.so.1"


def compile_stand_in(folder: Path) -> None:
    flags = ["-std=c++20", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-Wl,-soname,libcuda.so.1"]
    flags.append(f"-Wl,--version-script={SOURCES / 'exports.map'}")
    command = ["g++", *flags, "-o", str(folder / "libcuda.so.1"), str(SOURCES / "stand_in.cpp")]
    subprocess.run(command, check=True)


class StandIn:
    """The stand-in, loaded once for each process; `test()` gives one test a fresh device."""

    loaded: ClassVar["StandIn | None"] = None

    def __init__(self, library: Path):
        self.library = library
        self._c = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        for name in ("records", "faults", "live"):
            getattr(self._c, f"stand_in_{name}").restype = ctypes.c_char_p
        self._c.stand_in_settings.restype = ctypes.POINTER(Settings)
        self._c.stand_in_enqueue.argtypes = [ctypes.c_uint64, ctypes.c_char_p, ENQUEUED, ctypes.c_void_p]
        self._c.stand_in_touch.argtypes = [ctypes.c_char_p, ctypes.c_uint64, ctypes.c_size_t]
        self._c.cudaGraphSetConditional.argtypes = [ctypes.c_uint64, ctypes.c_uint]
        self._alive: list[Any] = []  # keeps objects alive that C points to

    @classmethod
    def load(cls) -> "StandIn":
        """The stand-in of this process. Raises RuntimeError with the reason if there cannot be one."""
        if has_driver():
            raise RuntimeError("this machine has a CUDA driver, which cannot be replaced in this process")
        if not shutil.which("g++"):
            raise RuntimeError("the stand-in for the CUDA driver is built with g++")
        cls.loaded = cls.loaded or cls(build())
        return cls.loaded

    @contextmanager
    def test(self) -> Iterator["StandIn"]:
        """A fresh device. At the end, the test fails if it did something that a real device forbids."""
        self.reset()
        try:
            yield self
            gc.collect()
            faults = self.faults()
            assert not faults, "\n".join(["the stand-in for the CUDA driver saw:", *faults])
        finally:
            self.reset()
            self.settings.devices = 0  # other tests see a machine without a GPU

    def reset(self) -> None:
        self._c.stand_in_reset()
        self._alive.clear()

    @property
    def settings(self) -> Settings:
        return self._c.stand_in_settings().contents  # type: ignore[no-any-return]

    def register_kernel(
        self,
        name: str,
        parameters: str,
        function: Callable[..., None],
        extents: Callable[..., Sequence[int]] | None = None,
    ) -> None:
        """Register `function` as the kernel `name`.

        `parameters` has one letter each: P pointer, I i 32 bits, Q q 64 bits, f d floats. A Python function gets their
        values; a function of a C library gets (void** params, unsigned grid x, y, z, block x, y, z).
        `extents` of the values gives the bytes that the kernel touches behind each parameter: 0 for a parameter that is
        not a pointer or may be null.
        """
        run = ctypes.cast(function, KERNEL) if is_foreign(function) else KERNEL(self._called(parameters, function))
        sizes = EXTENTS(self._measured(parameters, extents)) if extents else EXTENTS()
        self._alive += [run, sizes, function]
        self._c.stand_in_register(name.encode(), parameters.encode(), run, sizes)

    def _called(self, parameters: str, function: Callable[..., None]) -> Callable[..., None]:
        def run(params: Any, *shape: int) -> None:
            with self._no_escape():
                function(*values_of(parameters, params))

        return run

    def _measured(self, parameters: str, extents: Callable[..., Sequence[int]]) -> Callable[..., None]:
        def measure(params: Any, sizes: Any) -> None:
            with self._no_escape():
                for i, size in enumerate(extents(*values_of(parameters, params))):
                    sizes[i] = size

        return measure

    @contextmanager
    def _no_escape(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self._c.stand_in_fault(b"a function on the device raised:\n" + traceback.format_exc().encode())

    def enqueue(self, stream: int, function: Callable[[], None], name: str = "engine") -> int:
        """Enqueue `function` like a kernel of an engine, also in captures. Returns the driver's error."""

        def run(_: Any) -> None:
            with self._no_escape():
                function()

        self._alive.append(ENQUEUED(run))
        return int(self._c.stand_in_enqueue(stream, name.encode(), self._alive[-1], None))

    def array(self, address: int, shape: int | tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
        """A view of device memory, for kernels and for tests that inspect it."""
        array = np.empty(shape, dtype)
        assert not self._c.stand_in_touch(b"array", address, array.nbytes), self.faults()[-1]
        memory = (ctypes.c_char * array.nbytes).from_address(address)
        return np.frombuffer(memory, dtype).reshape(array.shape)

    def set_condition(self, condition: int, value: int) -> None:
        """cudaGraphSetConditional, for kernels written in Python."""
        self._c.cudaGraphSetConditional(condition, value)

    def fail(self, name: str, error: int, nth: int = 1, times: int = 1) -> None:
        """Make the n-th call of a driver function from now on fail; "run:kernel" fails while the kernel runs."""
        self._c.stand_in_fail(name.encode(), int(error), nth, times)

    def mark(self, name: str) -> None:
        self._c.stand_in_mark(name.encode())

    def records(self) -> list[Call]:
        """All calls, runs and marks in their order."""
        kinds = {"c": "call", "r": "run", "m": "mark", "n": "note"}
        rows = [line.split("\t") for line in self._c.stand_in_records().decode().splitlines()]
        return [Call(kinds[kind], name, *map(int, numbers)) for kind, name, *numbers in rows]

    def calls(self, begin: str | None = None, end: str | None = None) -> list[str]:
        """Names of the driver's functions that were called, between two marks if named."""
        return [record.name for record in self._between(begin, end) if record.kind == "call"]

    def runs(self, begin: str | None = None, end: str | None = None) -> list[str]:
        """Names of what ran on the device, between two marks if named."""
        return [record.name for record in self._between(begin, end) if record.kind == "run"]

    def _between(self, begin: str | None, end: str | None) -> list[Call]:
        records = self.records()
        marks = {record.name: i for i, record in enumerate(records) if record.kind == "mark"}
        return records[marks[begin] if begin else 0 : marks[end] if end else None]

    def live(self) -> list[str]:
        """The resources that are not freed: memory, streams, events, graphs, captures.

        No libraries: cuda.core 1.2 keeps them, and their kernels, until the process ends.
        """
        gc.collect()
        return [line for line in self._c.stand_in_live().decode().splitlines() if line != "library"]

    def faults(self) -> list[str]:
        """Operations of the test that a real device forbids."""
        return self._c.stand_in_faults().decode().splitlines()  # type: ignore[no-any-return]

    def take_faults(self) -> list[str]:
        """Return the faults and clear them, so that the test does not fail."""
        faults = self.faults()
        self._c.stand_in_forgive()
        return faults


def is_foreign(function: Any) -> bool:
    return isinstance(function, ctypes._CFuncPtr)


def values_of(parameters: str, params: Any) -> list[Any]:
    return [TYPES[kind].from_address(params[i]).value for i, kind in enumerate(parameters)]
