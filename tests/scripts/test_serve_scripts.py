"""The benchmarks of the server and its abuse, in a small form; and the plain servers that it is compared with."""

import subprocess
import sys

import numpy as np
import pytest
from repository import ROOT, load_script
from serve_queues import ORDERS

from ddpm_rt.device.lanes import ROW
from ddpm_rt.serve.chain import Chain
from ddpm_rt.serve.job import Job

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")


SHORT = ["--clients", "2", "--steps", "2", "--steps", "3", "--edges", "0.2", "--seconds", "0.5", "--rounds", "2"]


def jobs_of(*samples_and_steps):
    return [Job([Chain(np.zeros(steps, ROW), 0, n) for n in range(samples)]) for samples, steps in samples_and_steps]


def turns(order, jobs, images):
    """The numbers of the jobs whose chains run in each turn."""
    queue, found = ORDERS[order](), []
    for job in jobs:
        queue.add(job)
    while len(queue):
        entries = queue.turn(images)
        for entry in entries:
            entry.chain.row += 1
        queue.ran(entries)
        found.append("".join(sorted(str(jobs.index(entry.job)) for entry in entries)))
    return found


def test_the_plain_servers_do_what_they_are_called():
    wanted = (1, 3), (2, 1), (1, 2)
    assert turns("one request at a time", jobs_of(*wanted), 4) == ["0", "0", "0", "11", "2", "2"]
    assert turns("fixed batches", jobs_of(*wanted), 3) == ["011", "0", "0", "2", "2"]
    assert turns("continuous", jobs_of(*wanted), 3) == ["112", "02", "0", "0"]


def closed_loop(order, samples, images, turns=1200, clients=64):
    """Samples a turn, and the median and the 99th percentile of a request's turns; each client asks again at once."""
    queue, rng, began, latencies, done = ORDERS[order](), np.random.default_rng(0), {}, [], 0

    def ask(now):
        (job,) = jobs_of((int(rng.integers(1, samples + 1)), int(rng.choice([6, 10, 50]))))
        began[job] = now
        queue.add(job)

    for _ in range(clients):
        ask(0)
    for now in range(1, turns + 1):
        entries = queue.turn(images)
        for entry in entries:
            entry.chain.row += 1
        done += len(over := queue.ran(entries))
        for entry in over:
            if all(chain.is_over for chain in entry.job.chains) and entry.job in began:
                latencies.append(now - began.pop(entry.job))
                ask(now)
    return done / turns, *np.percentile(latencies, [50, 99])


@pytest.mark.parametrize("samples", [1, 8])
@pytest.mark.parametrize("images", [16, 32])
def test_continuous_batching_draws_more_and_keeps_nobody_waiting_longer_than_fixed_batches(samples, images):
    rate, p50, p99 = closed_loop("continuous", samples, images)
    plain_rate, plain_p50, plain_p99 = closed_loop("fixed batches", samples, images)
    assert rate > 1.7 * plain_rate
    assert p50 < 0.7 * plain_p50
    assert p99 < 0.9 * plain_p99


@pytest.mark.slow
def test_the_simulated_benchmark_prints_every_order(capsys):
    load_script("bench_serve_simulated").main(["--seconds", "0.3", "--clients", "6"], standalone_mode=False)
    lines = capsys.readouterr().out.splitlines()
    assert "simulated" in lines[0]
    rows = [line.removeprefix("1 to 8").split() for line in lines[2:]]
    assert len(rows) == 2 * len(ORDERS)
    assert all(float(row[-4]) > 0 for row in rows)  # images a second


@pytest.mark.slow
@pytest.mark.parametrize(
    ("script", "arguments", "rows"),
    [
        ("bench_serve", SHORT, 3 + 3),
        ("serve_abuse", ["--scale", "0.004"], 8 + 1),
    ],
)
def test_a_short_run_finds_no_fault(script, arguments, rows):
    command = [sys.executable, ROOT / "scripts" / f"{script}.py", *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == rows, done.stdout
