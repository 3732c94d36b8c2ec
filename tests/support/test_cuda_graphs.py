"""Captures and graphs of the stand-in for the CUDA driver."""

import numpy as np
import pytest
from device_work import BYTES, add, raises, read

pytest.importorskip("cuda.core")


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
def test_forbidden_work_fails_and_invalidates_the_capture(stream, call):
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
    """A kernel that ends a while graph after a number of rounds."""
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


def test_a_while_graph_repeats_until_its_condition_is_zero(stand_in, stream, memory, kernel):
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


@pytest.mark.parametrize(("branches", "value"), [(1, 1), (2, 0)])
def test_branches_of_a_graph_run_in_the_worst_order(stream, memory, kernel, branches, value):
    from cuda.core.graph import GraphBuilder

    builder = stream.create_graph_builder().begin_building("thread_local")
    builders = builder.split(2) if branches == 2 else (builder, builder)
    memory.fill(0, stream=builders[0])
    add(builders[1], kernel, memory.handle, 1)  # the edge that would make it wait for the fill is missing
    if branches == 2:
        builder = GraphBuilder.join(*builders)
    builder.end_building().complete().launch(stream)
    assert read(memory, stream) == value


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
