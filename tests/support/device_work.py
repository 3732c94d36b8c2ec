"""Copies and a kernel on the stand-in device."""

import numpy as np
import pytest

BYTES = 64


def pinned(*values):
    """A pinned buffer of sixteen floats that starts with `values`, and an array over it."""
    from cuda.core import LegacyPinnedMemoryResource

    buffer = LegacyPinnedMemoryResource().allocate(BYTES)
    view = np.from_dlpack(buffer).view(np.float32)
    view[:] = 0
    view[: len(values)] = values
    return buffer, view


def add(target, kernel, memory, value, count=16):
    from cuda.core import LaunchConfig, launch

    launch(target, LaunchConfig(grid=1, block=64), kernel, int(memory), np.uint32(count), np.float32(value))


def read(memory, stream):
    buffer, view = pinned()
    memory.copy_to(buffer, stream=stream)
    stream.sync()
    return view[0]


def raises(code):
    from cuda.core._utils.cuda_utils import CUDAError

    return pytest.raises(CUDAError, match=rf"CUDA_ERROR_{code}\b")
