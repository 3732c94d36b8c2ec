"""A batch whose samples are at different rows; non-finite values, and the end of a while graph."""

import numpy as np
import pytest
from step_host import HostChain
from step_loop import GUIDANCE, MAX64, SAMPLES, SEED, TABLES, NumpyLoop, answers, same_bits

from ddpm_rt import noise
from ddpm_rt.device.lanes import FINITE, RUNNING, STOP, TICKET, lanes_of, rows_of

# A batch whose samples are at different rows


def test_lanes_with_different_tables_rows_and_seeds_give_the_bits_of_their_chains(step_host):
    """The last two lanes finish: one at once, one after two rows. A finished lane stays bit-equal."""
    size = 1030
    some = (TABLES["ddpm learned"], TABLES["dpm++sde eps"], TABLES["ddim raw_eps"])
    offsets = np.cumsum([0, *(table.steps for table in some)])
    rows = np.concatenate(
        [rows_of(table, clip) for table, clip in zip(some, (None, (-1, 1), (-0.5, 0.25)), strict=True)]
    )
    #         table, clip, seed, sample, row, end
    places = [(0, None, 7, 0, 0, 6), (1, (-1, 1), MAX64, 40, 2, 6), (1, (-1, 1), 0, MAX64, 0, 6)]
    places += [(2, (-0.5, 0.25), 7, 0, 5, 6), (0, None, 1, 1, 6, 6), (2, (-0.5, 0.25), 3, 2, 1, 3)]
    lanes = np.concatenate([lanes_of(p[2], [p[3]], table=offsets[p[0]], row=p[4], end=p[5]) for p in places])
    chain = HostChain(step_host, rows, lanes, size, learned=True)
    outs = answers(6, *chain.out.shape)
    chain.run("ddpm_rt_begin")
    same_bits(chain.x, np.concatenate([noise.normal(p[2], [p[3]], noise.INITIAL_STEP, size) for p in places]))
    loops = [
        iter(
            NumpyLoop(
                *(some[which], np.roll(outs[:, [lane]], row, axis=0), size),
                **{"clip": clip, "seed": seed, "samples": [sample], "first_row": row},
            )
        )
        for lane, (which, clip, seed, sample, row, _) in enumerate(places)
    ]
    for turn in range(6):
        running = [lane for lane, place in enumerate(places) if place[4] + turn < place[5]]
        assert chain.state[RUNNING] == len(running)
        for lane in running:
            assert chain.t[lane] == some[places[lane][0]].t[places[lane][4] + turn]
        chain.out[:] = outs[turn]
        before, x0_before = chain.x.copy(), chain.x0.copy()
        chain.run("ddpm_rt_step", shuffle=turn)
        for lane in range(len(places)):
            if lane in running:
                _, x, x0 = next(loops[lane])
                same_bits(chain.x[lane], x[0])
                same_bits(chain.x0[lane], x0[0])
            else:
                same_bits(chain.x[lane], before[lane])
                same_bits(chain.x0[lane], x0_before[lane])
    assert chain.state[RUNNING] == 0
    np.testing.assert_array_equal(chain.lanes["row"], [6, 6, 6, 6, 6, 3])


@pytest.mark.slow
def test_more_lanes_than_threads_all_advance(step_host):
    table = TABLES["ddim eta"]
    chain = HostChain(step_host, rows_of(table, None), lanes_of(0, range(300), end=2), 4)
    chain.lanes["end"][::3] = 1
    chain.out[:] = 0.5
    chain.run("ddpm_rt_begin")
    found = [chain.state[RUNNING]]
    for turn in range(2):
        chain.run("ddpm_rt_step", shuffle=turn)
        found.append(chain.state[RUNNING])
    assert found == [300, 200, 0]
    np.testing.assert_array_equal(chain.lanes["row"], chain.lanes["end"])


# Non-finite values, and the end of a while graph


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 8, 9, 17])  # first and last element of the image and of its spread
def test_the_first_non_finite_row_is_recorded_and_affects_no_other_lane(step_host, wrong, place):
    table = TABLES["ddpm learned_range"]
    chains = []
    for poisoned in (False, True):
        chain = HostChain(step_host, rows_of(table, None), lanes_of(0, range(3), end=table.steps), 9, learned=True)
        chain.run("ddpm_rt_begin")
        for row, out in enumerate(answers(table.steps, *chain.out.shape)):
            chain.out[:] = out
            if poisoned and row in (2, 4):
                chain.out[1, place] = wrong
            chain.run("ddpm_rt_step")
        chains.append(chain)
    assert chains[1].lanes["not_finite"].tolist() == [FINITE, 2, FINITE]
    assert chains[1].lanes["row"].tolist() == [table.steps] * 3
    same_bits(chains[1].x[[0, 2]], chains[0].x[[0, 2]])


def test_both_outputs_of_a_guided_batch_are_checked(step_host):
    table = TABLES["ddpm eps"]
    chain = HostChain(step_host, rows_of(table, None), lanes_of(0, range(3), end=6, guidance=GUIDANCE), 5, guided=True)
    chain.run("ddpm_rt_begin")
    chain.out[:] = 1.0
    chain.out[0, 4] = np.nan  # labelled
    chain.out[5, 0] = np.inf  # the unlabelled half of the third lane
    chain.run("ddpm_rt_step")
    assert chain.lanes["not_finite"].tolist() == [0, FINITE, 0]


def test_the_output_for_a_finished_lane_is_not_checked(step_host):
    table = TABLES["ddpm eps"]
    chain = HostChain(step_host, rows_of(table, None), lanes_of(0, range(2), end=6), 5)
    chain.lanes["row"][1] = 6
    chain.run("ddpm_rt_begin")
    chain.out[:], chain.out[1] = 1.0, np.nan
    chain.run("ddpm_rt_step")
    assert (chain.lanes["not_finite"] == FINITE).all()
    assert np.isfinite(chain.x).all()


def while_conditions(step_host, *, stop_at=None, poison_at=None):
    """The condition of the while node after each row, until it ends."""
    table = TABLES["ddpm eps"]
    chain = HostChain(step_host, rows_of(table, None), lanes_of(SEED, SAMPLES, end=6), 5)
    chain.lanes["end"][0] = 3
    handle, told = 2**40 + 1, []
    chain.run("ddpm_rt_begin")
    while not told or (told[-1] and len(told) < 9):
        chain.out[:] = 0.5
        if len(told) == poison_at:
            chain.out[1, 2] = np.inf
        if len(told) == stop_at:
            chain.state[STOP] = 1
        chain.run("ddpm_rt_step_while", handle=handle)
        told.append(step_host.condition(handle))
    assert chain.state[TICKET] == 0
    return told, chain


def test_a_while_node_runs_until_all_lanes_are_done(step_host):
    told, chain = while_conditions(step_host)
    assert told == [1, 1, 1, 1, 1, 0]
    table = TABLES["ddpm eps"]
    loop = NumpyLoop(table, np.full((6, 2, 5), 0.5, np.float32), 5, clip=None)
    for _, x, _ in loop:
        last = x.copy()
    same_bits(chain.x[1], last[1])


def test_a_while_node_ends_on_request_and_after_a_non_finite_output(step_host):
    told, chain = while_conditions(step_host, stop_at=1)
    assert told == [1, 0]
    assert chain.lanes["row"].tolist() == [2, 2]
    told, chain = while_conditions(step_host, poison_at=3)
    assert told == [1, 1, 1, 0]
    assert chain.lanes["not_finite"].tolist() == [FINITE, 3]
