"""The device loop on a stand-in for the driver: its images are the host loop's, to the bit, and it breaks no rule."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from cuda_stand_in import ALLOCATIONS, COPIES, RELEASES, WAITS
from device_loops import Gpu, Host, Stop, final
from gaussian_model import conditional_card, gaussian_card
from toy_engine import eps_of_gaussian, eps_of_label, with_spread

from ddpm_rt import DdpmRtError, Request
from ddpm_rt.device.gpu import open_gpu
from ddpm_rt.device.lead import GLANCE, MOST, Lead
from ddpm_rt.edit import Edit
from ddpm_rt.inversion import FromNoise
from ddpm_rt.request import Watch
from ddpm_rt.samplers import SAMPLERS

pytest.importorskip("cuda.core")

OUT_OF_MEMORY, LAUNCH_FAILED = 2, 719  # of CUresult
MODES = ("replay", "chunks", "while", "stream")


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_images_are_those_of_the_host_loop_to_the_bit(stand_in, device, mode, sampler):
    request = Request(sampler=sampler, steps=35, seed=7, first=40, count=5, batch=4)
    gpu = Gpu(stand_in, device, mode=mode)
    np.testing.assert_array_equal(request.drawn(gpu), request.drawn(Host()))
    gpu.close()
    assert not stand_in.live()


# Each a way in which a network or a request can differ from the plainest.
CASES = {
    "an image of a size that four does not divide": (eps_of_gaussian, gaussian_card(image_shape=(1, 3, 7)), {}, {}),
    "a clip": (eps_of_gaussian, gaussian_card(clip=(-0.3, 0.3)), {"sampler": "ddpm"}, {}),
    "t as int32": (eps_of_gaussian, gaussian_card(), {}, {"time_type": np.int32}),
    "t as float32": (eps_of_gaussian, gaussian_card(), {}, {"time_type": np.float32}),
    "one t for all": (eps_of_gaussian, gaussian_card(), {}, {"one_time": True}),
    "a learned variance": (
        with_spread, gaussian_card(variance="learned_range"), {"sampler": "ddpm"}, {},
    ),
    "labels": (eps_of_label, conditional_card(), {"label": [0, 2, 1]}, {}),
    "guidance": (eps_of_label, conditional_card(), {"label": [2, 0], "guidance": 3.0}, {}),
    "guidance with a learned variance": (
        with_spread, conditional_card(variance="learned_range"),
        {"label": [1], "guidance": 2.5, "sampler": "ddpm"}, {},
    ),
    "guidance where the engine has no such batch": (
        eps_of_label, conditional_card(), {"label": [1, 0], "guidance": 2.0}, {"batches": (3, 7)},
    ),
    "a batch larger than the samples": (eps_of_gaussian, gaussian_card(), {}, {"batches": (8,)}),
    "the last sample numbers": (eps_of_gaussian, gaussian_card(), {"first": 2**64 - 5, "seed": 2**64 - 1}, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_same_with(stand_in, device, case):
    function, card, asked, engine = CASES[case]
    request = Request(**{"steps": 9, "count": 5, "batch": 4} | asked)
    gpu = Gpu(stand_in, device, function, card=card, **engine)
    np.testing.assert_array_equal(request.drawn(gpu), request.drawn(Host(function, card)))


def test_an_image_to_begin_with_or_a_noise(stand_in, device):
    images = np.random.default_rng(0).normal(size=(3, 1, 4, 6)).astype(np.float32)
    gpu, asked = Gpu(stand_in, device), {"steps": 9, "count": 3, "batch": 2, "sampler": "ddpm"}
    for request in (Edit(images=images, strength=0.4, **asked), FromNoise(noise=images, **asked)):
        np.testing.assert_array_equal(request.drawn(gpu), request.drawn(Host()))


@pytest.mark.parametrize("streams", [1, 2, 3])
def test_batches_are_as_large_as_the_engine_has_them_and_come_in_order(stand_in, device, streams):
    gpu = Gpu(stand_in, device, batches=(1, 4), streams=streams)
    request = Request(steps=40, count=10, batch=16)
    images, batches = final(request, gpu)
    assert batches == [4, 4, 2]
    np.testing.assert_array_equal(images, request.drawn(Host()))


def test_two_streams_have_work_at_the_same_time(stand_in, device):
    gpu = Gpu(stand_in, device, batches=(2,), streams=2)
    final(Request(steps=40, count=8, batch=2), gpu)
    launches = [call.stream for call in stand_in.records() if call.name == "cuGraphLaunch"]
    assert len(set(launches)) == 2
    changes = sum(before != after for before, after in pairwise(launches))
    assert changes >= 4  # 16 steps of one, 16 of the other, and so on: not one chain after the other


def test_frames_are_x_and_x0_after_their_rows(stand_in, device):
    request, seen = Request(sampler="dpm++", steps=9, count=6, batch=3), []
    gpu = Gpu(stand_in, device)
    final(request, gpu, Watch(frame=lambda step: seen.append(copied(step)), frames={0, 3, 4, 5, 8}))
    known = []
    for samples in request.batches(request.samples):
        known += [copied(step) for step in request.trajectory(Host(), gpu.card, samples) if step.row in {0, 3, 4, 5, 8}]
    assert [(step.row, step.t) for step in seen] == [(step.row, step.t) for step in known]
    for ours, theirs in zip(seen, known, strict=True):
        np.testing.assert_array_equal(ours.x, theirs.x)
        np.testing.assert_array_equal(ours.x0, theirs.x0)


def copied(step):
    return step._replace(x=step.x.copy(), x0=step.x0.copy())


@pytest.mark.parametrize("mode", MODES)
def test_nothing_is_allocated_copied_or_captured_between_the_steps(stand_in, device, mode):
    gpu = Gpu(stand_in, device, mode=mode)
    request = Request(steps=100, count=2, batch=2)
    final(request, gpu)
    stand_in.mark("again")
    final(request, gpu)
    calls = [call.name for call in stand_in._between("again", None)]
    launches = [i for i, name in enumerate(calls) if name.startswith(("cuGraphLaunch", "cuLaunch", "stand_in_enqueue"))]
    inside = set(calls[launches[1] : launches[-1]])  # the first launch of a run is the kernel that draws x_T
    assert not inside & (ALLOCATIONS | RELEASES | COPIES)
    assert not inside & (WAITS - {"cuEventSynchronize"})
    assert not any(name.startswith(("cuStreamBeginCapture", "cuGraphInstantiate")) for name in calls)
    assert not set(calls) & ALLOCATIONS  # the second run allocates nothing at all
    # The host waits so as not to run far ahead, for the first step and then once every MOST steps; and for the images.
    assert calls.count("cuEventSynchronize") <= 2 + 100 // MOST


def test_the_host_is_never_more_than_three_looks_ahead(stand_in, device):
    ahead, gpu = [], Gpu(stand_in, device)
    done = 0

    def step():
        nonlocal done
        done += 1
        launched = sum(call.name == "cuGraphLaunch" for call in stand_in.records() if call.kind == "call")
        ahead.append(launched - done)

    final(Request(steps=200, count=1), gpu, Watch(step))
    assert done == 200
    assert max(ahead) < 3 * MOST


def test_with_a_slow_network_the_host_is_a_few_steps_ahead(stand_in, device, clock):
    def slow(x, t, y=None):
        clock.advance(1.5 * GLANCE)
        return eps_of_gaussian(x, t)

    gpu, done, ahead = Gpu(stand_in, device, slow), 0, []

    def step():
        nonlocal done
        done += 1
        ahead.append(stand_in.calls().count("cuGraphLaunch") - done)

    final(Request(steps=20, count=1), gpu, Watch(step))
    assert done == 20
    assert max(ahead) <= 3  # so that Ctrl-C is heard, and what is queued then is soon over


class Marks:
    """A stream on which every step takes `seconds`, and whose events know how many steps come before them."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds, self.queued, self.done, self.waited = clock, seconds, 0, 0, []

    def record(self, event):
        return SimpleNamespace(sync=lambda steps=self.queued: self.run(steps))

    def run(self, steps):
        self.clock.advance((steps - self.done) * self.seconds)
        self.done = steps
        self.waited.append(steps)


@pytest.mark.parametrize(
    ("seconds", "interval"),
    [(0, MOST), (GLANCE / 1000, MOST), (GLANCE / 4.5, 4), (GLANCE / 2.5, 2), (GLANCE, 1), (10 * GLANCE, 1)],
)
def test_a_mark_comes_after_as_many_steps_as_take_a_glance(clock, seconds, interval):
    marks = Marks(clock, seconds)
    lead = Lead(marks, [object() for _ in range(3)])
    for queued in range(1, 101):
        marks.queued = queued
        lead.queued(1)
        assert queued - lead.done <= 3 * interval
    assert marks.waited[:3] == [1, 2, 3]  # marked before the first wait told how long a step takes
    assert {after - before for before, after in pairwise(marks.waited[2:])} == {interval}


@pytest.mark.parametrize("mode", MODES)
def test_an_interrupt_in_the_middle_leaks_nothing_and_the_loop_can_be_used_again(stand_in, device, mode):
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
def test_an_engine_that_refuses_is_heard_and_leaks_nothing(stand_in, device, mode, at):
    gpu = Gpu(stand_in, device, mode=mode)
    gpu.engine.refuse_at = at
    request = Request(steps=3, count=1)
    if at == 3 and mode in ("replay", "while"):
        request.drawn(gpu)  # which call their engine twice and never again
    else:
        with pytest.raises(DdpmRtError, match="the toy engine refuses"):
            request.drawn(gpu)
        np.testing.assert_array_equal(request.drawn(gpu), request.drawn(Host()))  # it does not refuse again
    gpu.close()
    assert not stand_in.live()


# What the driver may answer, at which call, and what is then said.
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
def test_what_the_driver_refuses_is_one_line(stand_in, device, name, nth, error, said):
    gpu = Gpu(stand_in, device)
    stand_in.fail(name, error, nth=nth)
    with pytest.raises(DdpmRtError, match=said) as raised:
        Request(steps=40, count=4, batch=4).drawn(gpu)
    assert "\n" not in str(raised.value)
    gpu.close()
    if not name.startswith("run:"):  # after which a context gives nothing back any more
        assert not stand_in.live()


def test_chains_that_wait_give_their_memory_to_one_that_needs_it(stand_in, device):
    gpu = Gpu(stand_in, device)
    for steps in (3, 4):
        Request(steps=steps, count=1).drawn(gpu)
    stand_in.fail("cuMemAllocFromPoolAsync", OUT_OF_MEMORY)
    request = Request(steps=5, count=1)
    np.testing.assert_array_equal(request.drawn(gpu), request.drawn(Host()))
    assert len(gpu.loop._idle) == 1
    gpu.close()
    assert not stand_in.live()


def test_a_rest_is_drawn_by_the_chain_of_the_whole_batches(stand_in, device):
    gpu = Gpu(stand_in, device, batches=(8,))
    final(Request(steps=5, count=19, batch=8), gpu)
    assert stand_in.calls().count("cuGraphInstantiate") == 1


def test_there_are_as_many_gpus_as_the_driver_says(stand_in):
    stand_in.settings.devices = 0
    with pytest.raises(DdpmRtError, match="the driver finds none"):
        open_gpu(0)
    stand_in.settings.devices = 1
    with pytest.raises(DdpmRtError, match="there is no GPU 1: the only one is 0"):
        open_gpu(1)
    with pytest.raises(ValueError, match="at least 0"):
        open_gpu(-1)
