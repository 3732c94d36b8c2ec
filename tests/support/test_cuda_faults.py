"""The stand-in for the CUDA driver detects freed, unwritten and overrun memory, and simulates failures."""

import ctypes

import numpy as np
import pytest
from device_work import BYTES, add, pinned, raises, read


def test_unwritten_memory_is_nan(stream, memory):
    assert np.isnan(read(memory, stream))


def test_a_kernel_on_freed_memory_breaks_the_device(stand_in, stream, memory, kernel):
    address = memory.handle
    memory.close(stream)
    add(stream, kernel, address, 1)
    with raises("ILLEGAL_ADDRESS"):
        stream.sync()
    with raises("ILLEGAL_ADDRESS"):  # all later calls fail too, as with the driver
        stream.sync()
    assert stand_in.take_faults() == ["add touches a freed device block of 64 bytes"]


def test_a_pinned_buffer_collected_before_its_copy_ran_is_found(stand_in, stream, memory):
    memory.copy_from(pinned(5)[0], stream=stream)
    with raises("ILLEGAL_ADDRESS"):
        stream.sync()
    assert stand_in.take_faults() == ["copy touches a freed pinned block of 64 bytes"]


def test_memory_freed_before_its_queued_work_ran_is_found(stand_in, stream, kernel):
    from cuda.bindings import driver

    _, address = driver.cuMemAlloc(BYTES)
    add(stream, kernel, address, 1)
    driver.cuMemFree(address)
    with raises("ILLEGAL_ADDRESS"):
        stream.sync()
    assert "freed" in stand_in.take_faults()[0]


def test_a_copy_from_freed_memory_is_refused(stand_in, stream, memory):
    target, _ = pinned()
    address = memory.handle
    memory.close(stream)
    stream.sync()
    from cuda.bindings import driver

    (error,) = driver.cuMemcpyDtoHAsync(int(target.handle), address, BYTES, stream.handle)
    assert error == driver.CUresult.CUDA_ERROR_INVALID_VALUE
    assert "freed" in stand_in.take_faults()[0]


@pytest.mark.parametrize("count", [17, 1000])
def test_a_kernel_that_runs_past_its_memory_breaks_the_device(stand_in, stream, memory, kernel, count):
    add(stream, kernel, memory.handle, 1, count)
    with raises("ILLEGAL_ADDRESS"):
        stream.sync()
    assert "bytes at offset 0 of a device block of 64 bytes" in stand_in.take_faults()[0]


def test_a_write_past_the_end_is_found_even_without_an_error_of_the_kernel(stand_in, stream, memory):
    from cuda.core import LaunchConfig, ObjectCode, launch

    def overrun(address):
        ctypes.c_float.from_address(address + BYTES).value = 1

    stand_in.register_kernel("overrun", "P", overrun)
    kernel = ObjectCode.from_cubin(b"any bytes").get_kernel("overrun")
    launch(stream, LaunchConfig(grid=1, block=1), kernel, memory)
    stream.sync()
    assert stand_in.take_faults() == ["written past its end or before its start: a device block of 64 bytes"]


def test_a_write_to_freed_memory_is_found_at_the_end(stand_in, stream):
    buffer, view = pinned()
    buffer.close()
    view[3] = 1
    assert stand_in.take_faults() == ["written after it was freed: a pinned block of 64 bytes"]


def test_resources_that_are_not_freed_are_listed(stand_in, device):
    stream = device.create_stream()
    memory = device.allocate(BYTES, stream=stream)
    assert sorted(stand_in.live()) == ["device block of 64 bytes", "stream"]
    memory.close(stream)
    stream.close()
    assert stand_in.live() == []


def test_a_stream_is_not_destroyed_with_work_in_it(stand_in, device, memory, kernel):
    stream = device.create_stream()
    add(stream, kernel, memory.handle, 1)
    stream.close()
    assert stand_in.take_faults() == ["a stream destroyed with work in its queue: add"]


def test_the_nth_allocation_fails_if_asked_to(stand_in, device, stream):
    stand_in.fail("cuMemAllocFromPoolAsync", 2, nth=2)
    memory = device.allocate(BYTES, stream=stream)
    with raises("OUT_OF_MEMORY"):
        device.allocate(BYTES, stream=stream)
    memory.close(stream)
    assert device.allocate(BYTES, stream=stream).size == BYTES


def test_a_device_has_a_limited_amount_of_memory(stand_in, device, stream):
    stand_in.settings.memory = 1000
    memory = device.allocate(600, stream=stream)
    with raises("OUT_OF_MEMORY"):
        device.allocate(600, stream=stream)
    memory.close(stream)
    stream.sync()
    device.allocate(600, stream=stream)


def test_a_failed_kernel_is_reported_when_the_host_waits(stand_in, stream, memory, kernel):
    stand_in.fail("run:add", 719, nth=2)
    for _ in range(3):
        add(stream, kernel, memory.handle, 1)
    with raises("LAUNCH_FAILED"):
        stream.sync()
    assert stand_in.runs() == ["add", "add"]


def test_a_cubin_for_another_gpu_is_refused_when_its_kernel_is_taken(stand_in, device):
    from cuda.core import ObjectCode

    stand_in.fail("cuLibraryLoadData", 209)
    code = ObjectCode.from_cubin(b"any bytes")
    with raises("NO_BINARY_FOR_GPU"):
        code.get_kernel("add")


def test_a_kernel_that_raises_is_a_fault(stand_in, stream):
    from cuda.core import LaunchConfig, ObjectCode, launch

    stand_in.register_kernel("divide", "I", lambda value: 1 / value)
    kernel = ObjectCode.from_cubin(b"any bytes").get_kernel("divide")
    launch(stream, LaunchConfig(grid=1, block=1), kernel, np.uint32(0))
    stream.sync()
    assert "ZeroDivisionError" in "\n".join(stand_in.take_faults())
