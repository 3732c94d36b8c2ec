"""The stand-in for the CUDA driver runs cuda.core in the order of streams and events."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cuda_stand_in import ALLOCATIONS, COPIES, SOURCES, WAITS
from device_work import BYTES, add, pinned, raises, read
from elsewhere import in_new_thread, run_python

pytest.importorskip("cuda.core")


def test_copies_and_kernels_run_in_the_order_of_their_stream(stand_in, stream, memory, kernel):
    source, _ = pinned(5)
    memory.copy_from(source, stream=stream)
    add(stream, kernel, memory.handle, 2)
    assert read(memory, stream) == 7
    assert stand_in.runs() == ["copy", "add", "copy"]


def test_reading_without_synchronising_gives_the_old_values(stream, memory):
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


def test_a_kernel_cannot_use_host_memory(stand_in, stream, kernel):
    add(stream, kernel, np.zeros(16, np.float32).ctypes.data, 1)
    with raises("ILLEGAL_ADDRESS"):
        stream.sync()
    assert "memory that the device does not see" in stand_in.take_faults()[0]


def test_streams_wait_for_events_of_others(device, stream, memory, kernel):
    other = device.create_stream()
    memory.fill(0, stream=stream)
    add(stream, kernel, memory.handle, 1)
    other.wait(stream.record())
    assert read(memory, other) == 1
    stream.sync()


def test_polling_an_event_ends(stream, memory, kernel):
    memory.fill(0, stream=stream)
    for _ in range(3):
        add(stream, kernel, memory.handle, 1)
    event = stream.record()
    polls = 0
    while not event.is_done:
        polls += 1
    assert polls > 3


def test_marks_record_the_work_of_a_loop(stand_in, stream, memory, kernel):
    memory.fill(0, stream=stream)
    stand_in.mark("loop begins")
    for _ in range(3):
        add(stream, kernel, memory.handle, 1)
    stand_in.mark("loop ends")
    stream.sync()
    calls = stand_in.calls("loop begins", "loop ends")
    assert calls == ["cuLaunchKernel"] * 3
    assert not (ALLOCATIONS | WAITS | COPIES) & set(calls)


def test_every_thread_sees_the_current_device(stand_in, device):
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
def test_a_machine_without_a_device_is_simulated_in_its_own_process(stand_in, setup, code):
    result = run_python("from cuda.core import Device; Device(0)", setup)
    assert result.returncode == 1
    assert f"CUDA_ERROR_{code}" in result.stderr


def test_other_tests_see_no_device(stand_in):
    code = "with stand_in.test():\n    pass\nfrom cuda.core import Device\nDevice(0)"
    assert "CUDA_ERROR_NO_DEVICE" in run_python(code).stderr


def nvccs():
    return [nvcc] if (nvcc := shutil.which("nvcc")) else []


def test_the_structures_equal_those_of_cuda_h():
    folders = [Path("/usr/local/cuda/include"), *(Path(nvcc).resolve().parents[1] / "include" for nvcc in nvccs())]
    include = next((folder for folder in folders if (folder / "cuda.h").exists()), None)
    if include is None:
        pytest.skip("there is no cuda.h here to compare with")
    command = ["g++", "-std=c++20", "-fsyntax-only", "-isystem", str(include), str(SOURCES / "abi_check.cpp")]
    assert subprocess.run(command, capture_output=True, text=True).stderr == ""
