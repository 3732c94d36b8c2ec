"""Fixtures: a stream, memory and a kernel of the stand-in device."""

import pytest
from device_work import BYTES


@pytest.fixture
def device(stand_in):
    from cuda.core import Device

    device = Device(0)
    device.set_current()
    return device


@pytest.fixture
def stream(device):
    return device.create_stream()


@pytest.fixture
def memory(device, stream):
    """Sixteen floats on the device, not yet written."""
    return device.allocate(BYTES, stream=stream)


@pytest.fixture
def kernel(stand_in, device):
    """A kernel that adds its last parameter to a number of floats."""
    from cuda.core import ObjectCode

    def add(address, count, value):
        stand_in.array(address, count)[:] += value

    stand_in.register_kernel("add", "PIf", add, extents=lambda address, count, value: [4 * count, 0, 0])
    return ObjectCode.from_cubin(b"any bytes").get_kernel("add")
