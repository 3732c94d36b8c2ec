"""The server's lanes on the stand-in device: chains come and go, and each has the bits of the host loop."""

import numpy as np
import pytest
from device_loops import Host
from gaussian_model import conditional_card, gaussian_card
from served import WAIT, chains_of
from toy_engine import ToyEngine, eps_of_gaussian, eps_of_label, with_spread

from ddpm_rt import DdpmRtError, Request
from ddpm_rt.device.kernels import load_kernels
from ddpm_rt.samplers import SAMPLERS
from ddpm_rt.serve.device_lanes import DeviceLanes
from ddpm_rt.serve.job import Job
from ddpm_rt.serve.scheduler import Scheduler

pytest.importorskip("cuda.core")


@pytest.fixture
def lanes(stand_in, device):
    """Makes lanes of a toy engine; at the end nothing is left on the device."""
    made = []

    def make(function=eps_of_gaussian, *, batch=4, rows=60, mode="replay", **engine):
        toy = ToyEngine(stand_in, function, **engine)
        made.append((DeviceLanes(device, toy, load_kernels(device), batch=batch, rows=rows, mode=mode), toy))
        return made[-1][0]

    yield make
    for held, toy in made:
        held.close()
        toy.close()
    assert not stand_in.live()


def run(lanes, card, requests, at_once=4, guided_images=1):
    """Draw all samples, of each request in turn; chains are taken out of their lanes and put back on the way."""
    groups = [chains_of(request, card) for request in requests]
    waiting = [chain for group in zip(*groups, strict=True) for chain in group]
    turn = 0
    while waiting:
        turn += 1
        if turn % 3 == 0:
            waiting.append(waiting.pop(0))  # which makes room for another one
        room, running = at_once, []
        for chain in waiting:
            if chain.images <= room:
                running.append(chain)
                room -= chain.images
        lanes.step(running)
        waiting = [chain for chain in waiting if not chain.is_over]
    return [np.stack([chain.x for chain in group]) for group in groups]


@pytest.mark.parametrize("mode", ["replay", "stream"])
def test_chains_of_all_samplers_that_come_and_go_are_those_of_the_host_loop_to_the_bit(lanes, mode):
    requests = [
        Request(sampler=name, steps=3 + place, seed=2**40 + place, first=place, count=3)
        for place, name in enumerate(name for name in SAMPLERS if name != "fitted")
    ]
    card = gaussian_card()
    for request, found in zip(requests, run(lanes(mode=mode), card, requests), strict=True):
        np.testing.assert_array_equal(found.view(np.uint32), request.drawn(Host()).view(np.uint32))


def test_the_same_with_labels_guidance_and_learned_variances(lanes):
    card = conditional_card(variance="learned_range")
    requests = [
        Request(sampler="ddpm", steps=5, seed=1, count=3, label=[0, 1, 2]),
        Request(sampler="ddpm", steps=4, seed=2, count=3, label=1, guidance=2.5),
        Request(sampler="ddim", steps=6, seed=3, count=3, label=2, guidance=-1.0),
        Request(sampler="dpm++", steps=3, seed=4, count=3, label=0),
    ]
    engine = Host(with_spread, card)
    for request, found in zip(requests, run(lanes(with_spread, card=card), card, requests), strict=True):
        np.testing.assert_array_equal(found.view(np.uint32), request.drawn(engine).view(np.uint32))


@pytest.mark.parametrize("time_type", [np.int32, np.float32])
def test_the_same_with_another_type_of_t(lanes, time_type):
    requests = [Request(steps=4, seed=1, count=3), Request(sampler="ddpm", steps=5, seed=2, count=3)]
    for request, found in zip(requests, run(lanes(time_type=time_type), gaussian_card(), requests), strict=True):
        np.testing.assert_array_equal(found, request.drawn(Host()))


def test_tables_make_room_for_others(lanes):
    """There is room for four tables of seven rows, and twelve are run."""
    requests = [Request(steps=7, eta=place / 20, seed=place, count=2) for place in range(12)]
    for request, found in zip(requests, run(lanes(rows=7), gaussian_card(), requests), strict=True):
        np.testing.assert_array_equal(found, request.drawn(Host()))


def test_an_engine_with_smaller_batches_has_fewer_lanes(lanes):
    assert lanes(batch=16, batches=(1, 2)).batch == 2
    assert lanes(batch=3, batches=(4,)).batch == 3


def test_guidance_needs_room_for_two_images(lanes):
    card = conditional_card()
    held = lanes(eps_of_label, card=card, batches=(1,))
    with pytest.raises(DdpmRtError, match="at least two images"):
        held.step(chains_of(Request(steps=3, count=1, label=1, guidance=2.0), card))


def test_a_chain_that_is_not_finite_is_named_and_the_others_go_on(lanes):
    def poisoned(x, t, y=None):
        out = eps_of_gaussian(x, t)
        out[t == 499] = np.nan
        return out

    bad = chains_of(Request(steps=4, seed=5, first=8, count=1), gaussian_card())[0]
    good = chains_of(Request(timesteps=[900, 400, 300, 200], seed=5, count=1), gaussian_card())[0]
    held = lanes(poisoned)
    for _ in range(4):
        held.step([bad, good])
    assert str(bad.error) == "the network's output of sample 8 is not finite at step 2, t = 499; check the model"
    assert good.error is None
    known = Request(timesteps=[900, 400, 300, 200], seed=5, count=1).drawn(Host())
    np.testing.assert_array_equal(good.x, known[0])


def test_a_step_that_fails_leaves_nothing_behind_and_the_next_one_is_run(lanes):
    held, card = lanes(mode="stream"), gaussian_card()
    held._engine.refuse_at = 4  # the first call is to warm up
    chains = chains_of(Request(steps=9, count=2), card)

    def run_all():
        while True:
            held.step(chains)

    with pytest.raises(DdpmRtError, match="the toy engine refuses"):
        run_all()
    request = Request(steps=3, count=3)
    np.testing.assert_array_equal(run(held, card, [request])[0], request.drawn(Host()))


def test_the_scheduler_draws_on_them_and_shows_their_steps(lanes):
    from ddpm_rt.serve.job import Listener

    held, card, seen = lanes(), gaussian_card(), {}
    scheduler = Scheduler(held, batch=held.batch, queue=64)
    requests = [Request(sampler=("ddpm", "dpm++")[n % 2], steps=4 + n, seed=n, count=3) for n in range(5)]
    listener = Listener(lambda place, step: seen.update({(place, step.row): step}), frames={1, 3})
    jobs = [Job(chains_of(request, card), listener=listener) for request in requests]
    for job in jobs:
        scheduler.submit(job)
    for request, job in zip(requests, jobs, strict=True):
        np.testing.assert_array_equal(np.stack(job.result.result(WAIT)), request.drawn(Host()))
    assert {row for _, row in seen} == {1, 3}
    scheduler.close()
