"""Which chains run next: short jobs overtake, none waits for ever, and priorities share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ddpm_rt.device.lanes import ROW
from ddpm_rt.serve.chain import Chain
from ddpm_rt.serve.fair_queue import FairQueue
from ddpm_rt.serve.job import Job, parse_priority


def job(samples, steps, *, guidance=1.0, **options):
    rows = np.zeros(steps, ROW)
    return Job([Chain(rows, 0, sample, guidance=guidance) for sample in range(samples)], **options)


def step(queue, images):
    """One turn: the jobs of its chains, and those of the chains that are over after it."""
    entries = queue.turn(images)
    for entry in entries:
        entry.chain.row += 1
    return [entry.job for entry in entries], [entry.job for entry in queue.ran(entries)]


def turns_until_done(queue, job, images):
    for turn in range(1, 10_000):
        step(queue, images)
        if all(chain.is_over for chain in job.chains):
            return turn
    raise AssertionError("the job starves")


def test_a_short_job_overtakes_a_long_one_that_fills_all_lanes():
    queue, long, short = FairQueue(), job(4, 1000), job(1, 6)
    queue.add(long)
    for _ in range(10):
        step(queue, 4)
    queue.add(short)
    assert turns_until_done(queue, short, 4) == 6
    assert {chain.row for chain in long.chains} == {16, 10}  # one lane was lent
    assert turns_until_done(queue, long, 4) == 990


def test_a_job_is_not_overtaken_for_ever():
    queue, long = FairQueue(), job(2, 50)
    queue.add(long)
    turns = 0
    while not all(chain.is_over for chain in long.chains):
        if len(queue) < 64:  # the bound of the scheduler
            queue.add(job(2, 5))  # more than two lanes can do
        step(queue, 2)
        turns += 1
        assert turns < 64 * 50  # jobs times the steps of one, over an image a step


def test_jobs_of_the_same_kind_end_in_the_order_in_which_they_came():
    queue, jobs, done = FairQueue(), [job(1, 10) for _ in range(6)], []
    for one in jobs:
        queue.add(one)
        done += step(queue, 2)[1]
    while len(queue):
        done += step(queue, 2)[1]
    assert done == jobs


def test_bulk_jobs_get_a_quarter_of_the_share_of_interactive_ones():
    queue, steps = FairQueue(), {"interactive": 0, "bulk": 0}
    for _ in range(20):
        for priority in steps:
            queue.add(job(20, 10, priority=priority))
    for _ in range(500):
        for one in step(queue, 4)[0]:
            steps[one.priority] += 1
    assert 3.0 < steps["interactive"] / steps["bulk"] < 5.0


def test_the_share_of_a_priority_does_not_depend_on_how_many_jobs_wait():
    queue, steps = FairQueue(), {"interactive": 0, "bulk": 0}
    queue.add(job(4, 400))
    for _ in range(100):
        queue.add(job(4, 50, priority="bulk"))
    for _ in range(200):
        for one in step(queue, 4)[0]:
            steps[one.priority] += 1
    assert steps == {"interactive": 640, "bulk": 160}


def test_a_priority_that_was_idle_does_not_take_all_lanes_when_it_comes_back():
    queue = FairQueue()
    queue.add(job(8, 1000))
    for _ in range(100):
        step(queue, 4)
    queue.add(job(8, 1000, priority="bulk"))
    drawn = [one.priority for _ in range(10) for one in step(queue, 4)[0]]
    assert drawn.count("bulk") == 8


def test_bulk_jobs_have_all_lanes_when_they_are_alone():
    queue = FairQueue()
    queue.add(job(9, 3, priority="bulk"))
    assert len(step(queue, 8)[0]) == 8


def test_a_guided_chain_takes_two_images_and_runs_even_where_there_is_one():
    queue = FairQueue()
    queue.add(job(3, 2, guidance=2.0))
    assert len(queue.turn(5)) == 2
    alone = FairQueue()
    alone.add(job(3, 2, guidance=2.0))
    assert len(alone.turn(1)) == 1


def test_a_job_that_is_removed_leaves_nothing_behind():
    queue, gone, stays = FairQueue(), job(5, 10), job(3, 10)
    queue.add(gone)
    queue.add(stays)
    step(queue, 4)
    queue.remove(gone)
    queue.remove(gone)
    assert (len(queue), queue.jobs) == (3, [stays])
    assert queue.image_steps == sum(10 - chain.row for chain in stays.chains)
    while len(queue):
        assert set(step(queue, 4)[0]) == {stays}
    assert queue.jobs == []


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(1, 12), st.sampled_from([1.0, 2.0]), st.booleans()), max_size=12),
    st.integers(1, 8),
    st.data(),
)
def test_every_chain_runs_each_of_its_rows_once_whatever_comes_and_goes(asked, images, data):
    queue, kept, waiting = FairQueue(), [], list(asked)
    for _ in range(1000):
        if waiting and data.draw(st.booleans()):
            samples, steps, guidance, is_bulk = waiting.pop()
            kept.append(job(samples, steps, guidance=guidance, priority="bulk" if is_bulk else "interactive"))
            queue.add(kept[-1])
        if kept and data.draw(st.integers(0, 9)) == 0:
            queue.remove(kept.pop())
        entries = queue.turn(images)
        assert len(entries) == len({id(entry.chain) for entry in entries})
        assert len(entries) == 1 or sum(entry.chain.images for entry in entries) <= images
        assert bool(entries) == bool(len(queue))
        for entry in entries:
            assert not entry.chain.is_over
            entry.chain.row += 1
        queue.ran(entries)
        if not waiting and not len(queue):
            break
    assert all(chain.row == chain.steps for one in kept for chain in one.chains)
    assert queue.jobs == []


@pytest.mark.parametrize("value", ["urgent", None, 1, ["bulk"]])
def test_there_are_two_priorities(value):
    with pytest.raises(ValueError, match="priority must be interactive or bulk"):
        parse_priority(value)
    with pytest.raises(ValueError, match="needs a sample"):
        Job([])
