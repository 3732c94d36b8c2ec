"""The step kernels, compiled for the host, are bit-equal to NumPy's loop."""

import shutil
import subprocess
from itertools import islice, product

import numpy as np
import pytest
from step_host import HostChain
from step_loop import SAMPLES, SEED, TABLES, TIMES, NumpyLoop, answers, check_chain, same_bits

from ddpm_rt import noise
from ddpm_rt.device.lanes import LANE, ROW, RUNNING, TIME_TYPES, lanes_of, rows_of
from ddpm_rt.include import include_folder
from ddpm_rt.samplers.table import StepTable


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_every_table_gives_the_loop_s_bits(step_host, name):
    needs_spread = TABLES[name].log_sigma_from_spread.any()
    for size, clip, guided, learned in product((15, 16), ((-1.0, 1.0), None), (False, True), (False, True)):
        if learned or not needs_spread:
            check_chain(step_host, TABLES[name], size, clip=clip, guided=guided, learned=learned)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 1023, 1024, 1025, 2053])
def test_an_image_of_any_size_gives_the_loop_s_bits(step_host, size):
    check_chain(step_host, TABLES["ddpm learned_range"], size, clip=(0.0, 0.5), guided=True, learned=True)


def test_unaligned_values_give_the_same_bits(step_host):
    table, size = TABLES["dpm++sde eps"], 32
    chains = []
    for shift in (0, 1):
        chain = HostChain(step_host, rows_of(table, None), lanes_of(SEED, SAMPLES, end=table.steps), size)
        for name in ("x", "x0", "out"):
            moved = np.zeros(chain.x.size + 4, np.float32)
            setattr(chain, name, moved[shift : shift + chain.x.size].reshape(chain.x.shape))
        chain.run("ddpm_rt_begin")
        for out in answers(table.steps, *chain.out.shape):
            chain.out[:] = out
            chain.run("ddpm_rt_step")
        chains.append(chain)
    same_bits(chains[1].x, chains[0].x)


@pytest.mark.slow
def test_a_coefficient_of_zero_skips_its_operand(step_host):
    """Tables with zero coefficients for values whose product with 0 is not 0: infinities, -0, overflows."""
    rng = np.random.default_rng(4)
    values = np.array([0.0, -0.0, 1.0, -1.0, 0.3, 1e-42, 1e30, -3e38], np.float32)
    for case in range(60):
        columns = rng.choice([0.0, -0.0, 1.0, -0.7, 1e-30, 1e30], (8, 4))
        table = StepTable(np.array([3, 2, 1, 0]), *columns)
        clip = [(-1.0, 1.0), None, (0.0, 1.0), (-1.0, -0.0)][case % 4]
        lanes = lanes_of(SEED, SAMPLES, end=4)
        chain = HostChain(step_host, rows_of(table, clip), lanes, 9, learned=True)
        outs = rng.choice(values, (4, *chain.out.shape))
        chain.x[:] = start = rng.choice(values, chain.x.shape)
        chain.run("ddpm_rt_resume")
        with np.errstate(all="ignore"):
            # not the last row: the host loop refuses images that are not finite
            for row, x, x0 in islice(NumpyLoop(table, outs, 9, clip=clip, start=start), 3):
                chain.out[:] = outs[row]
                chain.run("ddpm_rt_step")
                same_bits(chain.x, x)
                same_bits(chain.x0, x0)


def test_a_chain_starts_from_host_images_without_history(step_host):
    table, size = TABLES["dpm++ eps"], 10
    chain = HostChain(
        step_host, rows_of(table, None), lanes_of(SEED, SAMPLES, end=table.steps, row=2), size, guided=True
    )
    start = noise.normal(1, [0, 1], 0, size)
    chain.x[:2] = start
    chain.run("ddpm_rt_resume")
    same_bits(chain.x, np.concatenate([start, start]))
    assert not chain.x0.any()
    assert chain.t.tolist() == [TIMES[2]] * 4
    assert chain.state[RUNNING] == 2


@pytest.mark.parametrize("t", range(len(TIME_TYPES)))
@pytest.mark.parametrize("guided", [False, True])
@pytest.mark.parametrize("one_time", [False, True])
def test_t_can_have_any_type_and_be_one_value_or_one_for_each_image(step_host, t, guided, one_time):
    table = TABLES["ddpm eps"]
    lanes = lanes_of(0, range(3), end=table.steps)
    chain = HostChain(step_host, rows_of(table, None), lanes, 6, guided=guided, one_time=one_time, t=t)
    chain.run("ddpm_rt_begin")
    told = [chain.t.copy()]
    for _ in range(table.steps):
        chain.out[:] = 0.25
        chain.run("ddpm_rt_step")
        told.append(chain.t.copy())
    images = 1 if one_time else 6 if guided else 3
    expected = np.repeat([*table.t, table.t[-1]], images).reshape(-1, images)  # after the last row, t does not change
    np.testing.assert_array_equal(told, expected)
    assert told[0].dtype == TIME_TYPES[t]


def test_without_room_for_x0_the_images_are_the_same(step_host):
    table = TABLES["ddpm eps"]
    last = []
    for wanted in (True, False):
        chain = HostChain(step_host, rows_of(table, (-1, 1)), lanes_of(SEED, SAMPLES, end=table.steps), 13)
        if not wanted:
            chain.x0 = None
        chain.run("ddpm_rt_begin")
        for out in answers(table.steps, *chain.out.shape):
            chain.out[:] = out
            chain.run("ddpm_rt_step")
        last.append(chain.x)
    same_bits(last[1], last[0])


def test_the_structs_are_as_long_as_the_header_says():
    assert (ROW.itemsize, LANE.itemsize) == (48, 48)


def test_an_unsupported_launch_is_refused(step_host):
    table = TABLES["ddpm eps"]
    chain = HostChain(step_host, rows_of(table, None), lanes_of(0, [0], end=6), 5)
    with pytest.raises(AssertionError, match="no such kernel"):
        chain.run("ddpm_rt_nothing")
    with pytest.raises(AssertionError, match="no such grid"):
        step_host.launch("ddpm_rt_begin", 0, (1, 1), block=128)


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
