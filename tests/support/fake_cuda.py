"""A stand-in for `cuda.core` whose device is host memory and whose streams do nothing until somebody waits for them.

What is read or written must lie in memory that is allocated then, and a result is there only after `sync`: code that
forgets to wait, or frees too early, sees it.
"""

import ctypes
import itertools
import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NamedTuple

import numpy as np


class Capability(NamedTuple):
    major: int
    minor: int


class World:
    """The memory and the streams of one GPU."""

    def __init__(self, capability=(8, 9), devices=1):
        self.capability, self.devices = Capability(*capability), devices
        self.allocations, self.streams = {}, {}
        self.handles = itertools.count(0x5000)
        self.syncs = 0

    def allocate(self, size):
        memory = np.zeros(size + 256, np.uint8)
        address = -(-memory.ctypes.data // 256) * 256
        self.allocations[address] = (memory, size)
        return address

    def view(self, address, dtype, shape):
        """What is at a device address, as an array that can be written to."""
        size = int(np.prod(shape)) * np.dtype(dtype).itemsize
        inside = [begin for begin, (_, whole) in self.allocations.items() if begin <= address <= begin + whole - size]
        assert inside, f"{size} bytes at {address} are not allocated"
        return np.frombuffer((ctypes.c_char * size).from_address(address), dtype).reshape(shape)

    def queue(self, handle):
        """What is to be done on the stream of this handle."""
        stream = self.streams[handle]
        assert not stream.closed, "a stream that is closed"
        return stream.work


def make_cuda_core(world):
    """The module, as far as it is used."""

    class Stream:
        def __init__(self):
            self.handle, self.work, self.closed = next(world.handles), [], False
            world.streams[self.handle] = self

        @staticmethod
        def from_handle(handle):
            return world.streams[handle]

        def wait(self, other):
            reached = list(other.work)
            self.work.append(lambda: finish(reached, other.work))

        def sync(self):
            world.syncs += 1
            finish(list(self.work), self.work)

        def close(self):
            assert not self.work, "a stream that is not idle"
            self.closed = True

    def finish(some, queue):
        """Run those of `some` that are still queued, in order."""
        for work in some:
            if any(work is one for one in queue):
                queue.remove(work)
                work()

    class Buffer:
        def __init__(self, handle, size, owns=False):
            self.handle, self.size, self.owns = handle, size, owns

        @staticmethod
        def from_handle(handle, size):
            return Buffer(handle, size)

        def fill(self, value, *, stream):
            stream.work.append(lambda: self.bytes.fill(value))

        @property
        def bytes(self):
            return world.view(self.handle, np.uint8, (self.size,))

        def copy_from(self, other, *, stream):
            assert self.size == other.size, "sizes of a copy"
            stream.work.append(lambda: self.bytes.__setitem__(..., other.bytes))

        def copy_to(self, other, *, stream):
            other.copy_from(self, stream=stream)

        def __dlpack__(self, **options):
            return self.bytes.__dlpack__(**options)

        def __dlpack_device__(self):
            return self.bytes.__dlpack_device__()

        def close(self, stream=None):
            if stream is not None:
                stream.sync()
            if self.owns:
                del world.allocations[self.handle]
            self.owns = False

    class Device:
        def __init__(self, number=0):
            assert number < world.devices
            self.device_id, self.name, self.compute_capability = number, "Stand-in", world.capability

        def set_current(self):
            pass

        def create_stream(self):
            return Stream()

        def allocate(self, size, *, stream):
            return Buffer(world.allocate(size), size, owns=True)

    class LegacyPinnedMemoryResource:
        def allocate(self, size):
            return Buffer(world.allocate(size), size, owns=True)

    module = ModuleType("cuda.core")
    module.__version__ = "1.2.2"
    module.Device, module.Stream, module.Buffer = Device, Stream, Buffer
    module.LegacyPinnedMemoryResource = LegacyPinnedMemoryResource
    module.world = world
    return module


def install(monkeypatch, *modules):
    """Have imports find these modules."""
    for module in modules:
        module.__spec__ = ModuleSpec(module.__name__, None)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        if module.__name__ == "cuda.core":
            monkeypatch.setattr("ddpm_rt.device.driver.gpu_count", lambda world=module.world: world.devices)
            monkeypatch.setattr("ddpm_rt.device.loop.load_kernels", lambda device: {})  # it has no step kernel
