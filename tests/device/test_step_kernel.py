"""The step kernels, compiled for the host as they stand, against NumPy's noise and NumPy's loop: equal to the bit."""

import shutil
import subprocess
from itertools import product

import numpy as np
import pytest
from step_host import HostChain

from ddpm_rt import noise
from ddpm_rt.device.lanes import FINITE, LANE, ROW, RUNNING, STOP, TICKET, TIME_TYPES, lanes_of, rows_of
from ddpm_rt.exponential import exp
from ddpm_rt.include import include_folder
from ddpm_rt.labels import with_labels
from ddpm_rt.sampler import trajectory
from ddpm_rt.samplers import SAMPLERS, ddim, ddpm
from ddpm_rt.schedule import Schedule
from ddpm_rt.table import StepTable

MAX32, MAX64 = 2**32 - 1, 2**64 - 1
SEED, SAMPLES = 2**63 + 5, (2**32 - 1, 2**32)  # either side of where a number needs its second word
SCHEDULE = Schedule(np.linspace(1e-3, 0.3, 20))
TIMES = np.array([19, 14, 9, 5, 2, 0])
GUIDANCE = 2.5


@pytest.fixture(scope="module")
def host(step_host):
    return step_host


def same_bits(found, expected):
    """But for NaN, which is equal to NaN."""
    assert found.shape == expected.shape
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    number = ~np.isnan(expected)
    np.testing.assert_array_equal(found[number].view(np.uint32), expected[number].view(np.uint32))


# Noise and the exponential


def test_ten_million_normals_have_numpy_s_bits(host):
    rng = np.random.default_rng(0)
    count = 0
    for _ in range(40):
        seed, sample = (int(rng.integers(0, MAX64, dtype=np.uint64, endpoint=True)) for _ in range(2))
        step = int(rng.integers(0, MAX32, endpoint=True))
        expected = noise.normal(seed, [sample], step, 1 << 18)[0]
        same_bits(host.normals(seed, sample, step, 0, 1 << 16), expected)
        count += expected.size
    assert count >= 10_000_000


def test_normals_have_numpy_s_bits_at_every_edge_of_every_counter(host):
    edges = (0, 1, 2**31, MAX32 - 1, MAX32)
    wide = (*edges, 2**32, 2**63, MAX64)
    quads = np.array([[0, 1], [2**31 - 1, 2**31], [MAX32 - 1, MAX32]], np.uint64)
    for seed, sample, step in product(wide, wide, edges):
        for pair in quads:
            counter = tuple(np.full(2, word, np.uint64) for word in (step, sample & MAX32, sample >> 32))
            w0, w1, w2, w3 = noise.philox4x32((pair, *counter), (seed & MAX32, seed >> 32))
            expected = np.stack([*box_muller(w0, w1), *box_muller(w2, w3)], axis=1).reshape(-1)
            same_bits(host.normals(seed, sample, step, int(pair[0]), 2), expected)


def box_muller(top, turn):
    u = ((top >> np.uint64(8)) + np.uint64(1)).astype(np.float32) * np.float32(2.0**-24)
    radius = np.sqrt(np.float32(-2) * noise.ln(u))
    cosine, sine = noise.cos_sin((turn >> np.uint64(8)).astype(np.int32))
    return radius * cosine, radius * sine


def some_of_all_floats():
    """Every 997th pattern of the 2^32, and what lies around the ends of exp."""
    patterns = np.arange(0, 2**32, 997, dtype=np.uint64).astype(np.uint32).view(np.float32)
    ends = np.array(
        [0.0, -0.0, np.inf, -np.inf, np.nan, 89, -104, 88.72284, 88.722834, -87.33655, -103.97208], np.float32
    )
    return np.concatenate([patterns, ends, np.nextafter(ends, np.float32(0)), np.nextafter(ends, np.float32(-np.inf))])


def test_exp_is_within_1_05_units_in_the_last_place(host):
    x = some_of_all_floats()
    x = x[~np.isnan(x)]
    found = exp(x)
    with np.errstate(over="ignore", under="ignore"):
        exact = np.exp(x.astype(np.float64))
        rounded = exact.astype(np.float32)
    np.testing.assert_array_equal(np.isinf(found), np.isinf(rounded))
    finite = np.isfinite(rounded)
    ulp = np.maximum(np.spacing(rounded[finite]), np.float32(2.0**-149)).astype(np.float64)
    assert (np.abs(found[finite] - exact[finite]) / ulp).max() < 1.05
    assert exp(np.float32([0.0]))[0] == 1.0
    assert np.isnan(exp(np.float32([np.nan]))[0])


def test_exp_has_numpy_s_bits(host):
    x = some_of_all_floats()
    same_bits(host.exp(x), exp(x))


# One row and the next


def tables():
    """Every sampler with every prediction, and what only one of them can: by name."""
    for (name, sampler), prediction in product(SAMPLERS.items(), ("eps", "x0", "v")):
        yield f"{name} {prediction}", sampler.table(SCHEDULE, TIMES, prediction=prediction)
    for variance in ("fixed_large", "learned", "learned_range"):
        yield f"ddpm {variance}", ddpm(SCHEDULE, TIMES, variance=variance, last_noise=True)
    yield "ddim eta", ddim(SCHEDULE, TIMES, eta=0.7)
    yield "ddim raw_eps", ddim(SCHEDULE, TIMES, eta=0.3, raw_eps=True)


TABLES = dict(tables())


def answers(steps, images, out_size):
    """What a network says in each row, zeros of both signs among it."""
    out = np.random.default_rng(3).standard_normal((steps, images, out_size)).astype(np.float32)
    out[..., ::7], out[..., 3::11] = 0.0, -0.0
    return out


class NumpyLoop:
    """The loop on the host, given the same answers; it sees the images flat."""

    def __init__(self, table, outs, size, *, clip, guided=False, seed=SEED, samples=SAMPLES, first_row=0, start=None):
        self.outs, self.row, self.asked = outs, first_row, None
        count = len(samples)
        denoise = self.answer
        if guided:
            denoise = with_labels(self.answer, np.zeros(count, np.int64), guidance=GUIDANCE, null_class=1)
        self.steps = trajectory(
            denoise,
            table,
            (1, 1, size),
            seed=seed,
            samples=samples,
            clip=clip,
            first_row=first_row,
            start=None if start is None else start.reshape(count, 1, 1, size),
        )

    def answer(self, x, t, y=None):
        self.asked = (x.reshape(len(x), -1).copy(), t.copy())
        out = self.outs[self.row]
        self.row += 1
        return out.reshape(len(x), -1, 1, x.shape[-1]).copy()

    def __iter__(self):
        for step in self.steps:
            yield step.row, step.x.reshape(len(step.x), -1), step.x0.reshape(len(step.x), -1)


def check_chain(host, table, size, *, clip, learned, guided, t=0):
    chain = HostChain(
        *(host, rows_of(table, clip), lanes_of(SEED, SAMPLES, end=table.steps, guidance=GUIDANCE), size),
        **{"learned": learned, "guided": guided, "t": t},
    )
    outs = answers(table.steps, *chain.out.shape)
    loop = NumpyLoop(table, outs, size, clip=clip, guided=guided)
    chain.run("ddpm_rt_begin")
    asked, t_asked = chain.x.copy(), chain.t.copy()
    for row, x, x0 in loop:
        same_bits(asked, loop.asked[0])  # both halves of a guided batch
        np.testing.assert_array_equal(t_asked, loop.asked[1])
        chain.out[:] = outs[row]
        chain.run("ddpm_rt_step", shuffle=row)
        same_bits(chain.x[: len(SAMPLES)], x)
        same_bits(chain.x0, x0)
        asked, t_asked = chain.x.copy(), chain.t.copy()
    assert (chain.lanes["row"] == table.steps).all()
    assert (chain.lanes["not_finite"] == FINITE).all()
    assert chain.state.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("name", TABLES)
def test_every_table_gives_the_loop_s_bits(host, name):
    needs_spread = TABLES[name].log_sigma_from_spread.any()
    for size, clip, guided, learned in product((15, 16), ((-1.0, 1.0), None), (False, True), (False, True)):
        if learned or not needs_spread:
            check_chain(host, TABLES[name], size, clip=clip, guided=guided, learned=learned)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 1023, 1024, 1025, 2053])
def test_an_image_of_any_size_gives_the_loop_s_bits(host, size):
    check_chain(host, TABLES["ddpm learned_range"], size, clip=(0.0, 0.5), guided=True, learned=True)


def test_values_on_no_sixteen_byte_border_are_the_same(host):
    table, size = TABLES["dpm++sde eps"], 32
    chains = []
    for shift in (0, 1):
        chain = HostChain(host, rows_of(table, None), lanes_of(SEED, SAMPLES, end=table.steps), size)
        for name in ("x", "x0", "out"):
            moved = np.zeros(chain.x.size + 4, np.float32)
            setattr(chain, name, moved[shift : shift + chain.x.size].reshape(chain.x.shape))
        chain.run("ddpm_rt_begin")
        for out in answers(table.steps, *chain.out.shape):
            chain.out[:] = out
            chain.run("ddpm_rt_step")
        chains.append(chain)
    same_bits(chains[1].x, chains[0].x)


def test_coefficients_of_zero_leave_out_what_they_would_spoil(host):
    """Tables that no sampler makes, on values where 0 times a number is not nothing: infinities, -0, what overflows."""
    rng = np.random.default_rng(4)
    values = np.array([0.0, -0.0, 1.0, -1.0, 0.3, 1e-42, 1e30, -3e38], np.float32)
    for case in range(60):
        columns = rng.choice([0.0, -0.0, 1.0, -0.7, 1e-30, 1e30], (8, 3))
        table = StepTable(np.array([2, 1, 0]), *columns)
        clip = [(-1.0, 1.0), None, (0.0, 1.0), (-1.0, -0.0)][case % 4]
        lanes = lanes_of(SEED, SAMPLES, end=3)
        chain = HostChain(host, rows_of(table, clip), lanes, 9, learned=True)
        outs = rng.choice(values, (3, *chain.out.shape))
        chain.x[:] = start = rng.choice(values, chain.x.shape)
        chain.run("ddpm_rt_resume")
        with np.errstate(all="ignore"):
            for row, x, x0 in NumpyLoop(table, outs, 9, clip=clip, start=start):
                chain.out[:] = outs[row]
                chain.run("ddpm_rt_step")
                same_bits(chain.x, x)
                same_bits(chain.x0, x0)


def test_a_chain_resumes_from_the_host_s_images_with_nothing_before_them(host):
    table, size = TABLES["dpm++ eps"], 10
    chain = HostChain(host, rows_of(table, None), lanes_of(SEED, SAMPLES, end=table.steps, row=2), size, guided=True)
    start = noise.normal(1, [0, 1], 0, size)
    chain.x[:2] = start
    chain.run("ddpm_rt_resume")
    same_bits(chain.x, np.concatenate([start, start]))
    assert not chain.x0.any()
    assert chain.t.tolist() == [TIMES[2]] * 4
    assert chain.state[RUNNING] == 2


# A batch of samples that do not stand at the same place


def test_lanes_at_other_rows_of_other_tables_with_other_seeds_each_give_their_own_chain_s_bits(host):
    """The last two are done: one from the start, one after two rows. What is done is left alone to the bit."""
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
    chain = HostChain(host, rows, lanes, size, learned=True)
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


def test_more_lanes_than_threads_all_advance(host):
    table = TABLES["ddim eta"]
    chain = HostChain(host, rows_of(table, None), lanes_of(0, range(300), end=2), 4)
    chain.lanes["end"][::3] = 1
    chain.out[:] = 0.5
    chain.run("ddpm_rt_begin")
    found = [chain.state[RUNNING]]
    for turn in range(2):
        chain.run("ddpm_rt_step", shuffle=turn)
        found.append(chain.state[RUNNING])
    assert found == [300, 200, 0]
    np.testing.assert_array_equal(chain.lanes["row"], chain.lanes["end"])


@pytest.mark.parametrize("t", range(len(TIME_TYPES)))
@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("one_time", [False, True])
def test_the_network_is_told_its_time_in_any_type_once_or_by_image(host, t, guided, one_time):
    table = TABLES["ddpm eps"]
    lanes = lanes_of(0, range(3), end=table.steps)
    chain = HostChain(host, rows_of(table, None), lanes, 6, guided=guided, one_time=one_time, t=t)
    chain.run("ddpm_rt_begin")
    told = [chain.t.copy()]
    for _ in range(table.steps):
        chain.out[:] = 0.25
        chain.run("ddpm_rt_step")
        told.append(chain.t.copy())
    images = 1 if one_time else 6 if guided else 3
    expected = np.repeat([*table.t, table.t[-1]], images).reshape(-1, images)  # after the last row it stays
    np.testing.assert_array_equal(told, expected)
    assert told[0].dtype == TIME_TYPES[t]


def test_without_room_for_x0_the_images_are_the_same(host):
    table = TABLES["ddpm eps"]
    last = []
    for wanted in (True, False):
        chain = HostChain(host, rows_of(table, (-1, 1)), lanes_of(SEED, SAMPLES, end=table.steps), 13)
        if not wanted:
            chain.x0 = None
        chain.run("ddpm_rt_begin")
        for out in answers(table.steps, *chain.out.shape):
            chain.out[:] = out
            chain.run("ddpm_rt_step")
        last.append(chain.x)
    same_bits(last[1], last[0])


# What goes wrong, and what ends a graph


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 8, 9, 17])  # of the image and of its spread, first and last
def test_the_first_row_that_is_not_finite_is_recorded_and_hurts_no_other_lane(host, wrong, place):
    table = TABLES["ddpm learned_range"]
    chains = []
    for poisoned in (False, True):
        chain = HostChain(host, rows_of(table, None), lanes_of(0, range(3), end=table.steps), 9, learned=True)
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


def test_of_a_guided_batch_both_answers_are_looked_at(host):
    table = TABLES["ddpm eps"]
    chain = HostChain(host, rows_of(table, None), lanes_of(0, range(3), end=6, guidance=GUIDANCE), 5, guided=True)
    chain.run("ddpm_rt_begin")
    chain.out[:] = 1.0
    chain.out[0, 4] = np.nan  # labelled
    chain.out[5, 0] = np.inf  # the third lane's without a label
    chain.run("ddpm_rt_step")
    assert chain.lanes["not_finite"].tolist() == [0, FINITE, 0]


def test_what_a_lane_that_is_done_is_told_is_not_looked_at(host):
    table = TABLES["ddpm eps"]
    chain = HostChain(host, rows_of(table, None), lanes_of(0, range(2), end=6), 5)
    chain.lanes["row"][1] = 6
    chain.run("ddpm_rt_begin")
    chain.out[:], chain.out[1] = 1.0, np.nan
    chain.run("ddpm_rt_step")
    assert (chain.lanes["not_finite"] == FINITE).all()
    assert np.isfinite(chain.x).all()


def while_conditions(host, *, stop_at=None, poison_at=None):
    """What a while node is told after each row, until it ends."""
    table = TABLES["ddpm eps"]
    chain = HostChain(host, rows_of(table, None), lanes_of(SEED, SAMPLES, end=6), 5)
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
        told.append(host.condition(handle))
    assert chain.state[TICKET] == 0
    return told, chain


def test_a_while_node_runs_as_long_as_a_lane_does(host):
    told, chain = while_conditions(host)
    assert told == [1, 1, 1, 1, 1, 0]
    table = TABLES["ddpm eps"]
    loop = NumpyLoop(table, np.full((6, 2, 5), 0.5, np.float32), 5, clip=None)
    for _, x, _ in loop:
        last = x.copy()
    same_bits(chain.x[1], last[1])


def test_a_while_node_ends_at_the_host_s_wish_and_after_an_output_that_is_not_finite(host):
    told, chain = while_conditions(host, stop_at=1)
    assert told == [1, 0]
    assert chain.lanes["row"].tolist() == [2, 2]
    told, chain = while_conditions(host, poison_at=3)
    assert told == [1, 1, 1, 0]
    assert chain.lanes["not_finite"].tolist() == [FINITE, 3]


def test_the_structs_are_as_long_as_the_header_says():
    assert (ROW.itemsize, LANE.itemsize) == (48, 48)


def test_a_launch_that_the_kernels_are_not_made_for_is_refused(host):
    table = TABLES["ddpm eps"]
    chain = HostChain(host, rows_of(table, None), lanes_of(0, [0], end=6), 5)
    with pytest.raises(AssertionError, match="no such kernel"):
        chain.run("ddpm_rt_nothing")
    with pytest.raises(AssertionError, match="no such grid"):
        host.launch("ddpm_rt_begin", 0, (1, 1), block=128)


@pytest.mark.parametrize("command", [("gcc", "-std=c99"), ("g++", "-std=c++11"), ("clang", "-std=c99")])
def test_the_step_is_plain_c_and_old_c_plus_plus(command, tmp_path):
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} on this machine")
    source = tmp_path / ("step.cpp" if command[0] == "g++" else "step.c")
    source.write_text("#include <ddpm_rt/step.h>\nfloat e(void) { return ddpm_rt_exp(1.0f); }\n")
    flags = [
        "-Wall",
        "-Wextra",
        "-pedantic",
        "-Wno-long-long",
        "-Wno-unused-function",
        "-Werror",
        f"-I{include_folder()}",
    ]
    subprocess.run([*command, *flags, "-fsyntax-only", str(source)], check=True)


def test_every_column_is_used_by_some_table():
    for column in StepTable._fields:
        assert any(getattr(table, column).any() for table in TABLES.values()), column
