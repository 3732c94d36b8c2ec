"""The device loop with other threads, garbage collection, untimely interrupts and a lost GPU."""

import gc

import numpy as np
import pytest
from device_loops import Gpu, Host, Stop, final
from elsewhere import in_new_thread
from toy_engine import ToyEngine, eps_of_gaussian

from ddpm_rt import DdpmRtError, Request
from ddpm_rt.device.chain import DeviceChain
from ddpm_rt.device.device_denoiser import DeviceDenoiser
from ddpm_rt.device.driver import Pinned, cuda_errors
from ddpm_rt.device.kernels import WHILE, load_kernels
from ddpm_rt.device.loop import DeviceLoop
from ddpm_rt.engine import Watch
from ddpm_rt.requests.request import BoundRequest

pytest.importorskip("cuda.core")

REQUEST = Request(steps=40, count=6, batch=2)


def with_enqueue(engine, change):
    """An engine whose n-th call after each bind is `change(real, n)`; n starts at 1."""
    bind = engine.bind

    def bound(batch, buffers):
        made = bind(batch, buffers)
        real, calls = made.enqueue, 0

        def enqueue(stream):
            nonlocal calls
            calls += 1
            change(lambda: real(stream), calls)

        made.enqueue = enqueue
        return made

    engine.bind = bound
    return engine


def test_each_batch_may_be_drawn_from_another_thread(stand_in, device):
    gpu = Gpu(stand_in, device)
    run = REQUEST.bind(gpu.card).finals(gpu, REQUEST.samples, Watch())
    images = [in_new_thread(lambda: next(run))[1] for _ in range(3)]
    np.testing.assert_array_equal(np.concatenate(images), REQUEST.drawn(Host()))


def test_a_run_may_be_abandoned_and_the_loop_closed_in_another_thread(stand_in, device):
    gpu = Gpu(stand_in, device, streams=2)
    run = REQUEST.bind(gpu.card).finals(gpu, REQUEST.samples, Watch())
    next(run)
    in_new_thread(run.close)
    in_new_thread(gpu.close)
    assert not stand_in.live()


def test_two_runs_of_one_loop_may_alternate(stand_in, device):
    gpu, known = Gpu(stand_in, device), REQUEST.drawn(Host())
    runs = [REQUEST.bind(gpu.card).finals(gpu, REQUEST.samples, Watch()) for _ in range(2)]
    for ours, theirs in zip(*runs, strict=True):
        np.testing.assert_array_equal(ours[1], known[ours[0]])
        np.testing.assert_array_equal(theirs[1], known[theirs[0]])


def test_an_observer_may_draw_with_the_same_loop(stand_in, device):
    gpu, drawn = Gpu(stand_in, device), []

    def step():
        if not drawn:
            drawn.append(None)
            drawn.append(REQUEST.drawn(gpu))

    np.testing.assert_array_equal(final(REQUEST, gpu, Watch(step))[0], REQUEST.drawn(Host()))
    np.testing.assert_array_equal(drawn[1], REQUEST.drawn(Host()))


def test_an_endless_request_starts_at_once(stand_in, device, monkeypatch):
    def few(self, samples):
        for first in range(0, 6, 2):
            yield samples[first : first + 2]
        raise AssertionError("a batch was made long before its time")

    monkeypatch.setattr(BoundRequest, "batches", few)
    request = Request(steps=3, count=10_000_000, batch=2)
    gpu = Gpu(stand_in, device, streams=2)
    assert next(request.bind(gpu.card).finals(gpu, request.samples, Watch()))[0] == range(2)


def test_an_unsupported_batch_leaks_nothing(stand_in, device):
    gpu = Gpu(stand_in, device, batches=(1, 2))
    request = Request(steps=5, count=8, batch=8)
    with pytest.raises(ValueError, match="8 samples do not fit into a batch of 2"):
        next(request.bind(gpu.card).finals(gpu, request.samples, Watch()))
    gpu.close()
    assert not stand_in.live()


def test_no_batch_exceeds_the_limit_of_a_grid(stand_in, device):
    gpu = Gpu(stand_in, device, batches=(1 << 20,))
    asked = Request(count=1 << 20, batch=65535).bind(gpu.card)
    assert gpu.loop.batch_for(asked) == 65535  # gridDim.y's limit since Fermi
    with pytest.raises(ValueError, match="batch must be at most 65535"):
        Request(count=1 << 20, batch=1 << 20)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["replay", "chunks", "while"])
def test_garbage_is_not_collected_while_a_graph_is_captured(stand_in, device, mode):
    def litter(real, number):
        if number == 1:  # the warm-up
            gc.set_threshold(1 << 30)
            heap = [Pinned((3,), np.float32)]  # freeing it during a capture is an error
            heap.append(heap)
        if number == 2:  # a capture
            gc.set_threshold(1, 1, 1)
            _ = [[i] for i in range(1000)]
            gc.set_threshold(*thresholds)
        real()

    thresholds, gpu = gc.get_threshold(), Gpu(stand_in, device, mode=mode)
    with_enqueue(gpu.engine, litter)
    np.testing.assert_array_equal(REQUEST.drawn(gpu), REQUEST.drawn(Host()))
    assert gc.isenabled()
    gpu.close()
    assert not stand_in.live()


@pytest.mark.parametrize("mode", ["replay", "chunks", "while"])
def test_an_engine_that_breaks_a_capture_is_reported_and_leaks_nothing(stand_in, device, mode):
    def allocates(real, number):
        if number == 2:
            with pytest.raises(DdpmRtError, match="CAPTURE"):
                Pinned((3,), np.float32)
            raise DdpmRtError("the engine's own reason")
        real()

    gpu = Gpu(stand_in, device, mode=mode)
    with_enqueue(gpu.engine, allocates)
    with pytest.raises(DdpmRtError, match="the engine's own reason"):
        REQUEST.drawn(gpu)
    gpu.close()
    assert not stand_in.live()


def test_the_kernel_of_a_while_graph_is_loaded_before_it_is_captured(stand_in, device):
    gpu = Gpu(stand_in, device, mode="while")
    REQUEST.drawn(gpu)
    calls = stand_in.calls()
    assert "cuKernelGetAttribute" in calls[: calls.index("cuStreamBeginCapture")]


def test_a_while_graph_without_its_kernel_is_refused_in_one_line(stand_in, device, monkeypatch):
    def old(device):
        return {name: kernel for name, kernel in load_kernels(device).items() if name != WHILE}

    monkeypatch.setattr("ddpm_rt.device.loop.load_kernels", old)
    with pytest.raises(DdpmRtError, match=r"needs NVRTC 12\.4"):
        REQUEST.drawn(Gpu(stand_in, device, mode="while"))


def test_an_interrupted_network_call_is_waited_for(stand_in, device):
    def interrupted(real, number):
        real()
        raise Stop

    denoiser = DeviceDenoiser(with_enqueue(ToyEngine(stand_in, eps_of_gaussian), interrupted), device)
    with pytest.raises(Stop):
        denoiser(np.zeros((2, *denoiser.card.image_shape), np.float32), np.zeros(2, np.int64))
    in_new_thread(denoiser.close)
    assert "engine" in stand_in.runs()
    assert not stand_in.live()


def test_idle_chains_free_their_memory_for_a_network_call(stand_in, device):
    engine = ToyEngine(stand_in, eps_of_gaussian)
    denoiser = DeviceDenoiser(engine, device, DeviceLoop(device, engine))
    REQUEST.drawn(denoiser)
    stand_in.fail("cuMemAllocFromPoolAsync", 2)  # CUDA_ERROR_OUT_OF_MEMORY
    x, t = np.ones((2, *denoiser.card.image_shape), np.float32), np.array([3, 999])
    np.testing.assert_array_equal(denoiser(x, t), eps_of_gaussian(x, t))
    denoiser.close()
    assert not stand_in.live()


def test_a_second_interrupt_also_leaks_nothing(stand_in, device, monkeypatch):
    settle = DeviceChain._settle

    def interrupted(self):
        settle(self)
        raise Stop

    gpu = Gpu(stand_in, device)
    run = REQUEST.bind(gpu.card).finals(gpu, REQUEST.samples[:4], Watch())
    next(run)
    monkeypatch.setattr(DeviceChain, "_settle", interrupted)
    with pytest.raises(Stop):
        gpu.loop.close()
    assert gpu.engine.open == 0
    assert not stand_in.live()


def test_errors_while_freeing_do_not_hide_the_first_error(stand_in, device):
    class CUDAError(Exception):
        """cuda-core 1.0 raises this error in `close`; later versions do not."""

    def broken(x, t, y=None):
        return eps_of_gaussian(x, t) * np.float32(np.nan)

    gpu = Gpu(stand_in, device, broken)
    bind = gpu.engine.bind

    def bound(batch, buffers):
        made = bind(batch, buffers)

        def close():
            raise CUDAError

        made.close = close
        return made

    gpu.engine.bind = bound
    with pytest.raises(DdpmRtError, match="not finite"):
        REQUEST.drawn(gpu)
    assert not stand_in.live()


def test_an_exhausted_pool_is_out_of_memory():
    with pytest.raises(DdpmRtError, match="no batch: the GPU is out of memory"), cuda_errors("no batch"):
        raise RuntimeError("Failed to allocate memory from pool")  # the message of cuda-core 1.0
    with pytest.raises(RuntimeError, match="another"), cuda_errors("no batch"):
        raise RuntimeError("another")


def test_pinned_memory_lives_as_long_as_its_arrays(stand_in, device):
    array = Pinned((3,), np.float32).array
    gc.collect()
    array[:] = 1
    assert stand_in.live() == ["pinned block of 12 bytes"]
    del array
    assert not stand_in.live()
