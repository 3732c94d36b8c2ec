"""Interrupts, refusals and non-finite values give one line and leak nothing, and the loop can be used again."""

import numpy as np
import pytest
from device_loops import MODES, Gpu, Host, Stop, final
from toy_engine import eps_of_gaussian

from ddpm_rt import DdpmRtError, Request
from ddpm_rt.engine import Watch

pytest.importorskip("cuda.core")

OUT_OF_MEMORY, LAUNCH_FAILED = 2, 719  # values of CUresult


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_an_interrupt_leaks_nothing_and_the_loop_can_be_used_again(stand_in, device, mode):
    gpu, request = Gpu(stand_in, device, mode=mode), Request(steps=100, count=6, batch=2)
    steps = 0

    def step():
        nonlocal steps
        steps += 1
        if steps == 130:
            raise Stop

    with pytest.raises(Stop):
        final(request, gpu, Watch(step))
    np.testing.assert_array_equal(request.drawn(gpu), request.drawn(Host()))
    gpu.close()
    assert not stand_in.live()


def test_an_interrupt_ends_a_while_graph_that_is_running(stand_in, device, monkeypatch):
    gpu = Gpu(stand_in, device, mode="while")

    def interrupted(seconds):
        raise Stop

    monkeypatch.setattr("ddpm_rt.device.chain.time.sleep", interrupted)
    with pytest.raises(Stop):
        final(Request(steps=1000, count=1, sampler="ddpm"), gpu)
    assert stand_in.runs().count("ddpm_rt_step_while") < 1000
    gpu.close()
    assert not stand_in.live()


@pytest.mark.parametrize("mode", MODES)
def test_an_output_that_is_not_finite_stops_the_run_and_names_the_step(stand_in, device, mode):
    def broken(x, t, y=None):
        out = eps_of_gaussian(x, t)
        out[-1, 0, 1, 2] = np.where(t[-1] <= 700, np.nan, out[-1, 0, 1, 2])
        return out

    request = Request(sampler="ddpm", steps=10, count=4, batch=2)
    with pytest.raises(DdpmRtError, match="not finite at step") as host:
        request.drawn(Host(broken))
    gpu = Gpu(stand_in, device, broken, mode=mode)
    with pytest.raises(DdpmRtError) as ours:
        request.drawn(gpu)
    assert str(ours.value) == str(host.value)
    gpu.close()
    assert not stand_in.live()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("at", [1, 2, 3])  # the warm-up, a capture, or on the stream
def test_an_engine_that_refuses_is_reported_and_leaks_nothing(stand_in, device, mode, at):
    gpu = Gpu(stand_in, device, mode=mode)
    gpu.engine.refuse_at = at
    request = Request(steps=3, count=1)
    if at == 3 and mode in ("replay", "while"):
        request.drawn(gpu)  # these chains call their engine only twice
    else:
        with pytest.raises(DdpmRtError, match="the toy engine refuses"):
            request.drawn(gpu)
        np.testing.assert_array_equal(request.drawn(gpu), request.drawn(Host()))  # it does not refuse again
    gpu.close()
    assert not stand_in.live()


# Call of the driver, its error, and the words of the message.
FAILURES = [
    ("cuMemAllocFromPoolAsync", 1, OUT_OF_MEMORY, "MiB for a batch: the GPU is out of memory; ask for smaller batches"),
    ("cuMemAllocHost", 1, OUT_OF_MEMORY, "MiB of pinned memory: the GPU is out of memory"),
    ("cuMemAllocHost", 3, OUT_OF_MEMORY, "MiB of pinned memory: the GPU is out of memory"),
    ("cuStreamCreate", 1, OUT_OF_MEMORY, "out of memory"),
    ("cuStreamCreate", 2, OUT_OF_MEMORY, "out of memory"),
    ("cuGraphInstantiate", 1, OUT_OF_MEMORY, "out of memory"),
    ("cuGraphLaunch", 1, LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"),
    ("cuGraphLaunch", 40, LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"),
    ("run:ddpm_rt_step", 1, LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"),
    ("run:ddpm_rt_step", 30, LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"),
    ("run:engine", 7, LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"),
]


@pytest.mark.parametrize(("name", "nth", "error", "said"), FAILURES)
def test_an_error_of_the_driver_is_a_one_line_error(stand_in, device, name, nth, error, said):
    gpu = Gpu(stand_in, device)
    stand_in.fail(name, error, nth=nth)
    with pytest.raises(DdpmRtError, match=said) as raised:
        Request(steps=40, count=4, batch=4).drawn(gpu)
    assert "\n" not in str(raised.value)
    gpu.close()
    if not name.startswith("run:"):  # after such an error a context frees nothing
        assert not stand_in.live()


def test_idle_chains_free_their_memory_for_another_chain(stand_in, device):
    gpu = Gpu(stand_in, device)
    for steps in (3, 4):
        Request(steps=steps, count=1).drawn(gpu)
    stand_in.fail("cuMemAllocFromPoolAsync", OUT_OF_MEMORY)
    request = Request(steps=5, count=1)
    np.testing.assert_array_equal(request.drawn(gpu), request.drawn(Host()))
    assert len(gpu.loop._idle) == 1
    gpu.close()
    assert not stand_in.live()


@pytest.mark.parametrize("mode", MODES)
def test_an_image_that_overflows_in_the_last_step_is_refused_as_on_the_host(stand_in, device, mode):
    def loud(x, t, y=None):
        out = np.zeros_like(x)
        out[-1, 0, 1, 2] = 3e38  # finite, but the last step overflows, and no later call checks x
        return out

    request = Request(steps=1, count=4, batch=2)
    with pytest.raises(DdpmRtError, match="image of sample 1 is not finite at step 0") as host:
        request.drawn(Host(loud))
    gpu = Gpu(stand_in, device, loud, mode=mode)
    with pytest.raises(DdpmRtError) as ours:
        request.drawn(gpu)
    assert str(ours.value) == str(host.value)
    gpu.close()
    assert not stand_in.live()
