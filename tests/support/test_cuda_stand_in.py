"""The stand-in for the CUDA driver finds what it is there to find, and cuda.core runs on it."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cuda_stand_in import ALLOCATIONS, COPIES, SOURCES, WAITS, in_new_thread, run_python

pytest.importorskip("cuda.core")

BYTES = 64


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
    """A kernel that adds its last parameter to so many floats."""
    from cuda.core import ObjectCode

    def add(address, count, value):
        stand_in.array(address, count)[:] += value

    stand_in.register_kernel("add", "PIf", add, extents=lambda address, count, value: [4 * count, 0, 0])
    return ObjectCode.from_cubin(b"any bytes").get_kernel("add")


def pinned(*values):
    """A pinned buffer of sixteen floats that begins with these, and the array that looks at it."""
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


def test_copies_and_kernels_run_in_the_order_of_their_stream(stand_in, stream, memory, kernel):
    source, _ = pinned(5)
    memory.copy_from(source, stream=stream)
    add(stream, kernel, memory.handle, 2)
    assert read(memory, stream) == 7
    assert stand_in.runs() == ["copy", "add", "copy"]


def test_who_forgets_to_synchronise_reads_what_was_there_before(stream, memory):
    source, _ = pinned(5)
    target, view = pinned(1)
    memory.copy_from(source, stream=stream)
    memory.copy_to(target, stream=stream)
    assert view[0] == 1
    stream.sync()
    assert view[0] == 5


def test_pinned_memory_is_read_when_the_copy_runs_and_pageable_memory_at_once(stream, memory):
    from cuda.bindings import driver

    source, view = pinned(5)
    memory.copy_from(source, stream=stream)
    view[0] = 6
    assert read(memory, stream) == 6
    pageable = np.full(16, 7, np.float32)
    driver.cuMemcpyHtoDAsync(memory.handle, pageable.ctypes.data, BYTES, stream.handle)
    pageable[:] = 8
    assert read(memory, stream) == 7


def test_a_copy_to_pageable_memory_waits_and_is_recorded_as_a_wait(stand_in, stream, memory, kernel):
    from cuda.bindings import driver

    memory.fill(0, stream=stream)
    out = np.ones(16, np.float32)
    driver.cuMemcpyDtoHAsync(out.ctypes.data, memory.handle, BYTES, stream.handle)
    assert out.tolist() == [0] * 16
    assert WAITS & set(stand_in.calls())


def test_an_eager_device_runs_work_before_anybody_waits(stand_in, stream, memory):
    stand_in.settings.eager = 1
    target, view = pinned(1)
    memory.fill(0, stream=stream)
    memory.copy_to(target, stream=stream)
    assert view[0] == 0
    stream.sync()


def test_memory_that_nobody_wrote_is_not_a_number(stream, memory):
    assert np.isnan(read(memory, stream))


def test_a_kernel_on_freed_memory_breaks_the_device(stand_in, stream, memory, kernel):
    address = memory.handle
    memory.close(stream)
    add(stream, kernel, address, 1)
    with raises("ILLEGAL_ADDRESS"):
        stream.sync()
    with raises("ILLEGAL_ADDRESS"):  # from then on, as the driver does
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


def test_a_write_past_the_end_is_found_even_if_the_kernel_said_nothing_of_it(stand_in, stream, memory):
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


def test_host_memory_is_no_kernel_s_business(stand_in, stream, kernel):
    add(stream, kernel, np.zeros(16, np.float32).ctypes.data, 1)
    with raises("ILLEGAL_ADDRESS"):
        stream.sync()
    assert "memory that the device does not see" in stand_in.take_faults()[0]


def test_a_captured_stream_runs_nothing_until_its_graph_is_launched(stand_in, stream, memory, kernel):
    memory.fill(0, stream=stream)
    builder = stream.create_graph_builder().begin_building("thread_local")
    assert stand_in.enqueue(int(builder.stream.handle), lambda: None) == 0
    add(builder, kernel, memory.handle, 1)
    graph = builder.end_building().complete()
    assert read(memory, stream) == 0
    graph.upload(stream)
    for _ in range(3):
        graph.launch(stream)
    assert read(memory, stream) == 3
    assert stand_in.runs().count("engine") == 3


@pytest.mark.parametrize("call", ["allocate", "synchronise", "copy now"])
def test_what_a_capture_forbids_fails_and_spoils_it(stream, call):
    from cuda.bindings import driver

    _, address = driver.cuMemAlloc(BYTES)
    builder = stream.create_graph_builder().begin_building("thread_local")
    calls = {
        "allocate": lambda: driver.cuMemAlloc(BYTES),
        "synchronise": lambda: driver.cuStreamSynchronize(stream.handle),
        "copy now": lambda: driver.cuMemcpyHtoD(address, np.zeros(16, np.float32).ctypes.data, BYTES),
    }
    assert calls[call]()[0] == driver.CUresult.CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED
    with raises("STREAM_CAPTURE_INVALIDATED"):
        builder.close()


def test_a_graph_launched_on_freed_memory_breaks_the_device(stand_in, stream, kernel):
    from cuda.bindings import driver

    _, address = driver.cuMemAlloc(BYTES)
    builder = stream.create_graph_builder().begin_building("thread_local")
    add(builder, kernel, address, 1)
    graph = builder.end_building().complete()
    driver.cuMemFree(address)
    assert "freed what a graph works on" in [record.name for record in stand_in.records()]
    graph.launch(stream)
    with raises("ILLEGAL_ADDRESS"):
        stream.sync()
    assert stand_in.take_faults() == ["add touches a freed device block of 64 bytes"]


def counting(stand_in, turns):
    """A kernel that lets a while graph go round so many times."""
    from cuda.core import ObjectCode

    left = iter(range(turns - 1, -1, -1))
    stand_in.register_kernel("turn", "Q", lambda condition: stand_in.set_condition(condition, next(left)))
    return ObjectCode.from_cubin(b"any bytes").get_kernel("turn")


def while_graph(stream, turn, *work):
    from cuda.core import LaunchConfig, launch

    builder = stream.create_graph_builder().begin_building("thread_local")
    condition = builder.create_condition(1)
    body = builder.while_loop(condition).begin_building("thread_local")
    for enqueue in work:
        enqueue(body)
    launch(body, LaunchConfig(grid=1, block=1), turn, condition)
    body.end_building()
    return builder.end_building().complete()


def test_a_while_graph_goes_round_until_its_condition_is_zero(stand_in, stream, memory, kernel):
    memory.fill(0, stream=stream)
    graph = while_graph(stream, counting(stand_in, 5), lambda body: add(body, kernel, memory.handle, 1))
    graph.launch(stream)
    assert read(memory, stream) == 5


def test_a_while_graph_that_does_not_end_is_stopped(stand_in, stream):
    stand_in.settings.while_limit = 10
    graph = while_graph(stream, counting(stand_in, 100))
    graph.launch(stream)
    with raises("LAUNCH_TIMEOUT"):
        stream.sync()
    assert stand_in.take_faults() == ["a while graph that does not end"]


def test_streams_wait_for_events_of_others(device, stream, memory, kernel):
    other = device.create_stream()
    memory.fill(0, stream=stream)
    add(stream, kernel, memory.handle, 1)
    other.wait(stream.record())
    assert read(memory, other) == 1
    stream.sync()


@pytest.mark.parametrize(("branches", "value"), [(1, 1), (2, 0)])
def test_branches_of_a_graph_run_in_the_order_that_hurts(stream, memory, kernel, branches, value):
    from cuda.core.graph import GraphBuilder

    builder = stream.create_graph_builder().begin_building("thread_local")
    builders = builder.split(2) if branches == 2 else (builder, builder)
    memory.fill(0, stream=builders[0])
    add(builders[1], kernel, memory.handle, 1)  # after the fill, if it were told to wait for it
    if branches == 2:
        builder = GraphBuilder.join(*builders)
    builder.end_building().complete().launch(stream)
    assert read(memory, stream) == value


def test_polling_an_event_ends(stream, memory, kernel):
    memory.fill(0, stream=stream)
    for _ in range(3):
        add(stream, kernel, memory.handle, 1)
    event = stream.record()
    polls = 0
    while not event.is_done:
        polls += 1
    assert polls > 3


def test_marks_tell_what_a_loop_did(stand_in, stream, memory, kernel):
    memory.fill(0, stream=stream)
    stand_in.mark("loop begins")
    for _ in range(3):
        add(stream, kernel, memory.handle, 1)
    stand_in.mark("loop ends")
    stream.sync()
    calls = stand_in.calls("loop begins", "loop ends")
    assert calls == ["cuLaunchKernel"] * 3
    assert not (ALLOCATIONS | WAITS | COPIES) & set(calls)


def test_what_is_not_given_back_is_listed(stand_in, device):
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


def test_a_device_has_so_much_memory_and_no_more(stand_in, device, stream):
    stand_in.settings.memory = 1000
    memory = device.allocate(600, stream=stream)
    with raises("OUT_OF_MEMORY"):
        device.allocate(600, stream=stream)
    memory.close(stream)
    stream.sync()
    device.allocate(600, stream=stream)


def test_a_kernel_that_fails_is_told_when_the_host_waits(stand_in, stream, memory, kernel):
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


def test_every_thread_finds_the_device_as_it_is_set(stand_in, device):
    from cuda.core import Device

    stand_in.settings.major, stand_in.settings.minor, stand_in.settings.devices = 12, 0, 2
    assert in_new_thread(lambda: tuple(Device(1).compute_capability)) == (12, 0)


@pytest.mark.parametrize(
    ("setup", "code"),
    [
        ("stand_in.settings.devices = 0", "NO_DEVICE"),
        ("stand_in.fail('cuInit', 803)", "SYSTEM_DRIVER_MISMATCH"),
    ],
)
def test_a_machine_without_a_device_is_played_in_a_process_of_its_own(stand_in, setup, code):
    result = run_python("from cuda.core import Device; Device(0)", setup)
    assert result.returncode == 1
    assert f"CUDA_ERROR_{code}" in result.stderr


def test_outside_of_its_tests_there_is_no_device(stand_in):
    code = "with stand_in.test():\n    pass\nfrom cuda.core import Device\nDevice(0)"
    assert "CUDA_ERROR_NO_DEVICE" in run_python(code).stderr


def test_a_chain_of_a_foreign_engine_and_a_step_runs_from_a_graph_and_leaves_nothing(stand_in, device, stream):
    from cuda.core import LaunchConfig, LegacyPinnedMemoryResource, ObjectCode, launch

    def step(x, x0, out, t, rows, lanes, state, batch, size, *rest):
        stand_in.array(x, (batch, size))[:] += stand_in.array(out, (batch, size))

    def network():
        stand_in.array(arena.handle + 512, 16)[:] = 2 * stand_in.array(arena.handle, 16)

    stand_in.register_kernel("step", "PPPPPPPIIIIII", step)
    arena = device.allocate(4096, stream=stream)
    x = arena.handle
    host = LegacyPinnedMemoryResource().allocate(BYTES)
    view = np.from_dlpack(host).view(np.float32)
    view[:] = 1
    arena.fill(0, stream=stream)
    kernel = ObjectCode.from_cubin(b"any bytes").get_kernel("step")
    sizes = [np.uint32(n) for n in (1, 16, 16, 0, 1, 0)]
    builder = stream.create_graph_builder().begin_building("thread_local")
    assert stand_in.enqueue(int(builder.stream.handle), network) == 0
    launch(builder, LaunchConfig(grid=1, block=256), kernel, x, 0, x + 512, x + 1024, x + 2048, x + 2560, 0, *sizes)
    graph = builder.end_building().complete()
    builder.close()
    begin = np.ones(16, np.float32)
    to_device(x, begin, stream)
    stand_in.mark("loop begins")
    for _ in range(3):
        graph.launch(stream)
    stand_in.mark("loop ends")
    from_device(int(host.handle), x, BYTES, stream)
    stream.sync()
    assert view.tolist() == [27] * 16
    assert set(stand_in.calls("loop begins", "loop ends")) == {"cuGraphLaunch"}
    assert stand_in.runs("loop begins")[:6] == ["fill", "copy", "graph", "engine", "step", "graph"]
    del view
    for owner in (graph, arena, host, stream):
        owner.close()
    assert stand_in.live() == []


def to_device(address, array, stream):
    from cuda.bindings import driver

    assert driver.cuMemcpyHtoDAsync(address, array.ctypes.data, array.nbytes, stream.handle)[0] == 0


def from_device(host, address, size, stream):
    from cuda.bindings import driver

    assert driver.cuMemcpyDtoHAsync(host, address, size, stream.handle)[0] == 0


def nvccs():
    return [nvcc] if (nvcc := shutil.which("nvcc")) else []


def test_its_structures_are_those_of_cuda_h():
    folders = [Path("/usr/local/cuda/include"), *(Path(nvcc).resolve().parents[1] / "include" for nvcc in nvccs())]
    include = next((folder for folder in folders if (folder / "cuda.h").exists()), None)
    if include is None:
        pytest.skip("there is no cuda.h here to compare with")
    command = ["g++", "-std=c++20", "-fsyntax-only", "-isystem", str(include), str(SOURCES / "abi_check.cpp")]
    assert subprocess.run(command, capture_output=True, text=True).stderr == ""
