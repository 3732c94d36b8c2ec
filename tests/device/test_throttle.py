"""The distance of the host ahead of the GPU, and its work between two steps."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
from cuda_stand_in import ALLOCATIONS, COPIES, RELEASES, WAITS
from device_loops import MODES, Gpu, final
from toy_engine import eps_of_gaussian

from ddpm_rt import Request
from ddpm_rt.device.throttle import MARK_SECONDS, MAX_INTERVAL, Throttle
from ddpm_rt.engine import Watch

pytest.importorskip("cuda.core")


@pytest.mark.slow
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
    # The host waits for the first step, then once every MAX_INTERVAL steps, and for the images.
    assert calls.count("cuEventSynchronize") <= 2 + 100 // MAX_INTERVAL


@pytest.mark.slow
def test_the_host_is_never_more_than_three_checks_ahead(stand_in, device):
    ahead, gpu = [], Gpu(stand_in, device)
    done = 0

    def step():
        nonlocal done
        done += 1
        launched = sum(call.name == "cuGraphLaunch" for call in stand_in.records() if call.kind == "call")
        ahead.append(launched - done)

    final(Request(steps=200, count=1), gpu, Watch(step))
    assert done == 200
    assert max(ahead) < 3 * MAX_INTERVAL


def test_with_a_slow_network_the_host_is_a_few_steps_ahead(stand_in, device, clock):
    def slow(x, t, y=None):
        clock.advance(1.5 * MARK_SECONDS)
        return eps_of_gaussian(x, t)

    gpu, done, ahead = Gpu(stand_in, device, slow), 0, []

    def step():
        nonlocal done
        done += 1
        ahead.append(stand_in.calls().count("cuGraphLaunch") - done)

    final(Request(steps=20, count=1), gpu, Watch(step))
    assert done == 20
    assert max(ahead) <= 3  # Ctrl-C then waits only for a few queued steps


class Marks:
    """A stream on which every step takes `seconds`. Its events know the number of earlier steps."""

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
    [
        (0, MAX_INTERVAL),
        (MARK_SECONDS / 1000, MAX_INTERVAL),
        (MARK_SECONDS / 4.5, 4),
        (MARK_SECONDS / 2.5, 2),
        (MARK_SECONDS, 1),
        (10 * MARK_SECONDS, 1),
    ],
)
def test_the_interval_of_marks_adapts_to_the_step_time(clock, seconds, interval):
    marks = Marks(clock, seconds)
    lead = Throttle(marks, [object() for _ in range(3)])
    for queued in range(1, 101):
        marks.queued = queued
        lead.queued(1)
        assert queued - lead.done <= 3 * interval
    assert marks.waited[:3] == [1, 2, 3]  # marked before the first wait has measured a step
    assert {after - before for before, after in pairwise(marks.waited[2:])} == {interval}
