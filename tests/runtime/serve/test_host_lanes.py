"""Lanes at different rows of different tables: each has the bits of its own chain in the host loop."""

import numpy as np
import pytest
from device_loops import Host
from gaussian_model import conditional_card, gaussian_card
from served import chains_of
from toy_engine import eps_of_gaussian, eps_of_label, with_spread

from ddpm_rt import DdpmRtError, Request
from ddpm_rt.host_loop import RowNumbers, State, add_noise, update
from ddpm_rt.requests.sampler_options import SamplerOptions
from ddpm_rt.samplers import samplers_of
from ddpm_rt.serve.host_lanes import HostLanes


def run(engine, requests, at_once=5):
    """Draw the samples of all requests on the same lanes; a new one joins whenever a lane is free."""
    groups = [chains_of(request, engine.card) for request in requests]
    waiting = [chain for group in zip(*groups, strict=True) for chain in group]  # of each request in turn
    lanes, running = HostLanes(engine), []
    turn = 0
    while waiting or running:
        while waiting and len(running) < at_once and len(running) <= turn:  # the first steps have fewer lanes
            running.append(waiting.pop(0))
        turn += 1
        lanes.step(running)
        running = [chain for chain in reversed(running) if not chain.is_over]  # lanes change places
    return [np.stack([chain.x for chain in group]) for group in groups]


def requests(**common):
    """Each by another sampler, with other steps and another seed."""
    names = list(samplers_of("betas"))
    return [
        Request(sampler=name, steps=3 + place, seed=2**40 + place, first=place, count=3, **common)
        for place, name in enumerate(names)
    ]


@pytest.mark.parametrize("clip", [None, (-0.3, 0.3)])
def test_chains_of_all_samplers_on_the_same_lanes_are_those_of_the_host_loop_to_the_bit(clip):
    engine = Host(card=gaussian_card(clip=clip))
    other = SamplerOptions(steps=6).compile(engine.card)._replace(clip=(0.0, 0.2))  # a table has a clip of its own
    asked = [*requests(), Request(compiled=other, seed=5, count=3)]
    for request, found in zip(asked, run(engine, asked), strict=True):
        np.testing.assert_array_equal(found.view(np.uint32), request.drawn(engine).view(np.uint32))


def test_the_same_with_learned_variances_labels_and_guidance():
    engine = Host(with_spread, conditional_card(variance="learned_range"))
    asked = [
        Request(sampler="ddpm", steps=5, seed=1, count=3, label=[0, 1, 2]),
        Request(sampler="ddpm", steps=4, seed=2, count=3, label=1, guidance=2.5),
        Request(sampler="ddim", steps=6, seed=3, count=3, label=2, guidance=-1.0),
        Request(sampler="dpm++", steps=3, seed=4, count=3, label=0),
    ]
    for request, found in zip(asked, run(engine, asked), strict=True):
        np.testing.assert_array_equal(found.view(np.uint32), request.drawn(engine).view(np.uint32))


def test_a_network_that_takes_one_t_for_all_images_is_called_once_for_each():
    calls = []

    def one_t(x, t, y=None):
        assert (t == t[0]).all()
        calls.append(len(x))
        return eps_of_label(x, t, y)

    engine, card = Host(one_t, conditional_card()), conditional_card()
    engine.one_time = True
    asked = [Request(steps=4, seed=1, count=2, label=1, guidance=3.0), Request(steps=3, seed=2, count=2, label=0)]
    for request, found in zip(asked, run(engine, asked), strict=True):
        np.testing.assert_array_equal(found, request.drawn(Host(eps_of_label, card)))
    assert max(calls) > 1  # lanes at the same t share a call


@pytest.mark.parametrize("at", [0, 1])
def test_a_chain_that_is_not_finite_is_named_and_the_others_go_on(at):
    def poisoned(x, t, y=None):
        out = eps_of_gaussian(x, t)
        out[t == 499] = np.where(np.arange(out[0].size).reshape(out[0].shape) == 3, np.nan, out[t == 499])
        return out

    engine = Host(poisoned)
    bad = chains_of(Request(steps=4, seed=5, first=8, count=1), engine.card)  # t = 999, 749, 499, 249
    good = chains_of(Request(timesteps=[900, 400, 300, 200], seed=5, count=1), engine.card)
    lanes, both = HostLanes(engine), [bad[0], good[0]] if at == 0 else [good[0], bad[0]]
    for _ in range(3):
        lanes.step(both)
    assert str(bad[0].error) == ("the network's output of sample 8 is not finite at step 2, t = 499; check the model")
    assert isinstance(bad[0].error, DdpmRtError)
    assert good[0].error is None
    lanes.step(good)
    known = Request(timesteps=[900, 400, 300, 200], seed=5, count=1).drawn(Host())
    np.testing.assert_array_equal(good[0].x, known[0])


def test_an_image_that_is_not_finite_after_the_last_row_is_an_error():
    engine = Host(lambda x, t, y=None: np.full_like(x, 3e38), gaussian_card(prediction="x0", clip=None))
    chain = chains_of(Request(sampler="dpm++", steps=2, count=1), engine.card)[0]
    chain.rows = chain.rows.copy()
    chain.rows["mean_from_x0"] = 10.0
    lanes = HostLanes(engine)
    lanes.step([chain])
    assert chain.error is None  # x may be infinite on the way: the next call of the network tells
    lanes.step([chain])
    assert "the image of sample 0 is not finite at step 1" in str(chain.error)


def test_an_update_of_lanes_has_the_bits_of_one_lane_after_another_zeros_included():
    """Coefficients of 0 add nothing: -0 + 0 would lose its sign."""
    rng = np.random.default_rng(0)
    count, shape = 40, (1, 3, 5)
    numbers = rng.normal(size=(8, count)).astype(np.float32)
    numbers[rng.random(numbers.shape) < 0.4] = 0.0
    values = np.array([0.0, -0.0, 1.0, -1.0, 0.5, 1e-40, -1e-40, 3.0], np.float32)
    x, x0, out, spread, z = (rng.choice(values, (count, *shape)) for _ in range(5))
    low = rng.choice(np.array([-np.inf, -1, 0, -0.0], np.float32), count)
    high = rng.choice(np.array([np.inf, 1, 0.25], np.float32), count)

    def column(array):
        return array.reshape(-1, 1, 1, 1)

    together = State(x.copy(), np.empty_like(x), x0.copy(), np.empty_like(x))
    row = RowNumbers(*map(column, numbers))
    update(row, (column(low), column(high)), out, together)
    add_noise(row, spread, z, together.x, together.part)
    for lane in range(count):
        here = slice(lane, lane + 1)
        alone = State(x[here].copy(), np.empty_like(x[here]), x0[here].copy(), np.empty_like(x[here]))
        row = RowNumbers(*numbers[:, lane])
        update(row, (low[lane], high[lane]), out[here], alone)
        if row.sigma:
            add_noise(row, spread[here], z[here], alone.x, alone.part)
        np.testing.assert_array_equal(together.x[here].view(np.uint32), alone.x.view(np.uint32))
        np.testing.assert_array_equal(together.x0[here].view(np.uint32), alone.x0.view(np.uint32))
