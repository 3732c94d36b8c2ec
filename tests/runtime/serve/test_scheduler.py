"""The thread that batches every step: joins, leaves, cancels, refusals, failures and its end."""

import threading
from concurrent.futures import CancelledError

import numpy as np
import pytest
from device_loops import Host
from served import WAIT, GatedEngine, chains_of

from ddpm_rt import DdpmRtError, Request
from ddpm_rt.serve.host_lanes import HostLanes
from ddpm_rt.serve.job import Job, Listener
from ddpm_rt.serve.scheduler import Closed, Observer, QueueFull, Scheduler


@pytest.fixture
def start():
    """Makes a scheduler of an engine; at the end it is closed, and its thread is gone."""
    made = []

    def make(engine, **options):
        made.append((engine, Scheduler(HostLanes(engine), **{"batch": 4, "queue": 16} | options)))
        return made[-1][1]

    yield make
    for engine, scheduler in made:
        if isinstance(engine, GatedEngine):
            engine.open()
        scheduler.close()
    assert [thread for thread in threading.enumerate() if thread.name == "ddpm-rt scheduler"] == []


def job_of(request, engine, **options):
    return Job(chains_of(request, engine.card), **options)


def test_jobs_of_many_threads_get_the_images_of_the_command_line(start):
    engine = Host()
    scheduler, found = start(engine, queue=200), {}
    requests = [
        Request(sampler=("ddim", "ddpm", "dpm++")[n % 3], steps=4 + n, seed=n, first=n, count=1 + n % 5)
        for n in range(12)
    ]

    def ask(request):
        job = job_of(request, engine)
        scheduler.submit(job)
        found[request] = np.stack(job.result.result(WAIT))

    threads = [threading.Thread(target=ask, args=[request]) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    for request in requests:
        np.testing.assert_array_equal(found[request], request.drawn(engine))
    assert scheduler.load() == (0, 0)


def test_a_job_joins_at_the_next_step_and_leaves_when_it_is_done(start):
    engine = GatedEngine()
    scheduler = start(engine)
    first = job_of(Request(timesteps=[900, 800, 700, 600], count=1), engine)
    second = job_of(Request(timesteps=[500, 400], count=2), engine)
    scheduler.submit(first)
    engine.wait_for_call()
    scheduler.submit(second)
    for _ in range(3):
        engine.step()
    assert sorted(map(sorted, engine.calls)) == [[400, 400, 700], [500, 500, 800], [600], [900]]
    assert second.result.done()
    engine.let()
    np.testing.assert_array_equal(
        np.stack(first.result.result(WAIT)), Request(timesteps=[900, 800, 700, 600], count=1).drawn(Host())
    )


def test_a_cancelled_job_leaves_at_the_next_step(start):
    engine = GatedEngine()
    scheduler = start(engine)
    gone, stays = (job_of(Request(timesteps=[t, t - 1, t - 2], count=2), engine) for t in (900, 500))
    for job in (gone, stays):
        scheduler.submit(job)
    engine.wait_for_call()
    scheduler.cancel(gone)
    scheduler.cancel(gone)
    engine.step()
    engine.open()
    assert len(stays.result.result(WAIT)) == 2
    with pytest.raises(CancelledError):
        gone.result.result(WAIT)
    assert not any(t >= 800 for call in engine.calls[1:] for t in call)
    assert scheduler.load() == (0, 0)


def test_a_job_that_is_done_cannot_be_cancelled(start):
    engine = Host()
    scheduler = start(engine)
    job = job_of(Request(steps=2, count=1), engine)
    scheduler.submit(job)
    assert len(job.result.result(WAIT)) == 1
    scheduler.cancel(job)
    assert len(job.result.result(WAIT)) == 1


def test_a_full_queue_refuses_and_says_when_to_try_again(start):
    engine = GatedEngine()
    scheduler = start(engine, queue=6)
    scheduler.submit(job_of(Request(steps=50, count=4), engine))
    engine.wait_for_call()
    engine.step()  # so that a rate is known
    with pytest.raises(QueueFull, match="try again in") as refused:
        scheduler.submit(job_of(Request(steps=3, count=3), engine))
    assert 1 <= refused.value.retry_after <= 60
    scheduler.submit(job_of(Request(steps=3, count=2), engine))  # there is room for two
    assert sum(scheduler.load()) == 6


def test_a_failing_engine_fails_the_jobs_of_its_step_and_the_next_ones_are_drawn(start):
    engine = GatedEngine(is_open=True)
    scheduler = start(engine)
    for error in (RuntimeError("out\nof luck"), MemoryError(), DdpmRtError("the GPU is gone; reboot")):
        engine.error = error
        job = job_of(Request(steps=3, count=2), engine)
        scheduler.submit(job)
        expected = "the GPU is gone; reboot" if isinstance(error, DdpmRtError) else "the engine failed"
        with pytest.raises(DdpmRtError, match=expected):
            job.result.result(WAIT)
    assert not scheduler.is_well
    engine.error = None
    job = job_of(Request(steps=3, count=2), engine)
    scheduler.submit(job)
    np.testing.assert_array_equal(np.stack(job.result.result(WAIT)), Request(steps=3, count=2).drawn(Host()))
    assert scheduler.is_well


def test_a_chain_that_is_not_finite_fails_its_job_alone(start):
    def poisoned(x, t, y=None):
        out = Host()(x, t)
        out[t == 400] = np.inf
        return out

    engine = Host(poisoned)
    scheduler = start(engine)
    bad = job_of(Request(timesteps=[800, 400, 200], first=3, count=2), engine)
    good = job_of(Request(timesteps=[900, 500, 100], count=2), engine)
    scheduler.submit(bad)
    scheduler.submit(good)
    assert len(good.result.result(WAIT)) == 2
    with pytest.raises(DdpmRtError, match="sample 3 is not finite at step 1, t = 400"):
        bad.result.result(WAIT)
    assert scheduler.is_well


def test_a_listener_sees_the_steps_of_the_trajectory_and_each_sample_once(start):
    engine, seen, drawn = Host(), {}, []
    request = Request(sampler="dpm++", steps=6, seed=3, count=3)
    scheduler = start(engine)
    listener = Listener(lambda place, step: seen.update({(place, step.row): step}), drawn.append, {0, 2, 5})
    job = job_of(request, engine, listener=listener)
    scheduler.submit(job)
    job.result.result(WAIT)
    bound = request.bind(engine.card)
    for step in bound.trajectory(engine, request.samples):
        for place in range(3):
            if step.row in (0, 2, 5):
                found = seen.pop((place, step.row))
                assert found.t == step.t
                np.testing.assert_array_equal(found.x[0], step.x[place])
                np.testing.assert_array_equal(found.x0[0], step.x0[place])
    assert seen == {}
    assert sorted(drawn) == [0, 1, 2]


def test_a_listener_that_fails_fails_its_job_alone(start):
    engine = Host()
    scheduler = start(engine)
    bad = job_of(Request(steps=3, count=1), engine, listener=Listener(lambda place, step: 1 / 0, frames={1}))
    good = job_of(Request(steps=3, count=1), engine)
    scheduler.submit(bad)
    scheduler.submit(good)
    assert len(good.result.result(WAIT)) == 1
    with pytest.raises(DdpmRtError, match="ZeroDivisionError"):
        bad.result.result(WAIT)


def test_draining_ends_when_the_last_job_is_done_and_takes_no_others(start):
    engine = GatedEngine()
    scheduler = start(engine)
    job = job_of(Request(steps=3, count=1), engine)
    scheduler.submit(job)
    assert not scheduler.drain(0.01)
    with pytest.raises(Closed, match="stopping"):
        scheduler.submit(job_of(Request(steps=3, count=1), engine))
    engine.open()
    assert scheduler.drain(WAIT)
    assert job.result.done()


def test_closing_fails_what_is_not_done(start):
    engine = GatedEngine()
    scheduler = start(engine)
    jobs = [job_of(Request(steps=30, count=3), engine) for _ in range(3)]
    for job in jobs:
        scheduler.submit(job)
    engine.wait_for_call()
    engine.open()
    scheduler.close()
    assert [type(job.result.exception(WAIT)) for job in jobs] == [DdpmRtError] * 3


def test_metrics_are_told_of_every_call_and_every_sample(start):
    engine, calls, samples = Host(), [], []
    observer = Observer(lambda seconds, images: calls.append(images), samples.append)
    scheduler = start(engine, observer=observer)
    job = job_of(Request(steps=5, count=6), engine)
    scheduler.submit(job)
    job.result.result(WAIT)
    assert scheduler.drain(WAIT)
    assert sum(calls) == 30
    assert max(calls) == 4
    assert sum(samples) == 6
