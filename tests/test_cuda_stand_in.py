"""The stand-in for the CUDA driver finds what it is there to find, and cuda.core runs on it."""

import gc

import numpy as np
import pytest
from cuda_stand_in import ALLOCATIONS, COPIES, WAITS, run_python

pytest.importorskip("cuda.core")


@pytest.fixture
def device(stand_in):
    from cuda.core import Device

    device = Device(0)
    device.set_current()
    return device


def pinned(values):
    """A pinned buffer with these values, and the array that looks at it."""
    from cuda.core import LegacyPinnedMemoryResource

    buffer = LegacyPinnedMemoryResource().allocate(values.nbytes)
    view = np.from_dlpack(buffer).view(values.dtype)
    view[:] = values
    return buffer, view


def test_a_copy_goes_there_and_back(stand_in, device):
    stream = device.create_stream()
    memory = device.allocate(16, stream=stream)
    buffer, view = pinned(np.arange(4, dtype=np.float32))
    memory.copy_from(buffer, stream=stream)
    memory.copy_to(buffer, stream=stream)
    view[:] = 9
    stream.sync()
    assert view.tolist() == [9, 9, 9, 9]
