"""Compare continuous batching with plain servers on a SIMULATED engine: a call takes 1 ms whatever its batch, up to 32.

    python scripts/bench_serve_simulated.py > benchmarks/serve-simulated.txt

The simulation has the shape of a GPU that one small image does not fill: `time.sleep`, then a copy of x. No model is
run, and no HTTP: the clients submit to the scheduler in this process, each its next request when the last is done.
Requests have 6, 10 or 50 steps.
"""

import statistics
import threading
import time
from concurrent.futures import Future
from typing import Any

import click
import numpy as np
from serve_queues import ORDERS

from ddpm_rt.artifacts.card import ModelCard
from ddpm_rt.device.lanes import rows_of
from ddpm_rt.engine import Engine
from ddpm_rt.engines.opening import open_engine
from ddpm_rt.requests.request import Request
from ddpm_rt.serve.chain import Chain
from ddpm_rt.serve.host_lanes import HostLanes
from ddpm_rt.serve.job import Job
from ddpm_rt.serve.scheduler import Scheduler

STEPS = (6, 10, 50)


class SimulatedEngine(Engine):
    """A call takes `seconds` for each started `batch` of images."""

    def __init__(self, card: ModelCard, seconds: float, batch: int) -> None:
        self.card, self._seconds, self._batch = card, seconds, batch

    def __call__(self, x: Any, t: Any, y: Any = None, /) -> Any:
        time.sleep(self._seconds * -(-len(x) // self._batch))
        return x * np.float32(0.5)


class Clients:
    """Clients in a closed loop: each asks again as soon as it has its images."""

    def __init__(self, scheduler: Scheduler, card: ModelCard, most_samples: int) -> None:
        self._scheduler, self._most = scheduler, most_samples
        bound = {steps: Request(steps=steps).bind(card) for steps in STEPS}
        self._rows = {steps: rows_of(one.table, one.sampler.clip) for steps, one in bound.items()}
        self._label = None if card.classes is None else 0
        self._rng, self._lock = np.random.default_rng(0), threading.Lock()
        self.latencies: list[float] = []
        self.failures: list[BaseException | None] = []
        self.images, self.is_over = 0, False

    def ask(self, client: int) -> None:
        with self._lock:
            steps, count = int(self._rng.choice(STEPS)), int(self._rng.integers(1, self._most + 1))
        chains = [Chain(self._rows[steps], client, sample, self._label) for sample in range(count)]
        job, started = Job(chains), time.perf_counter()
        job.result.add_done_callback(lambda result: self._done(client, result, time.perf_counter() - started))
        self._scheduler.submit(job)

    def _done(self, client: int, result: "Future[Any]", seconds: float) -> None:
        if self.is_over:
            return
        if result.exception() is not None:
            self.failures.append(result.exception())
            return
        self.latencies.append(seconds)
        self.images += len(result.result())
        self.ask(client)


def measured(order: str, card: ModelCard, clients: int, batch: int, most: int, seconds: float) -> tuple[float, ...]:
    """Images a second, and the median and the 99th percentile of the latency in ms."""
    engine = SimulatedEngine(card, 0.001, batch)
    scheduler = Scheduler(HostLanes(engine), batch=batch, queue=clients * most, order=ORDERS[order]())
    crowd = Clients(scheduler, card, most)
    for client in range(clients):
        crowd.ask(client)
    time.sleep(1)  # until the clients are out of step with one another
    crowd.latencies.clear()
    before, started = crowd.images, time.perf_counter()
    time.sleep(seconds)
    rate = (crowd.images - before) / (time.perf_counter() - started)
    latencies = sorted(crowd.latencies) or [float("nan")]
    crowd.is_over = True
    scheduler.close()
    if crowd.failures:
        raise SystemExit(f"{order}: {crowd.failures[0]}")
    return rate, 1000 * statistics.median(latencies), 1000 * latencies[int(0.99 * len(latencies))]


@click.command()
@click.option("--clients", default=64, show_default=True)
@click.option("--batch", default=32, show_default=True)
@click.option("--seconds", default=20.0, show_default=True, help="Of each measurement.")
def main(clients: int, batch: int, seconds: float) -> None:
    """Print a table."""
    with open_engine() as engine:
        card = engine.card  # only the shape and the betas are used
    click.echo(f"simulated engine: 1 ms a call of up to {batch} images; {clients} clients; {seconds:g} s each")
    click.echo(f"{'samples':<8} {'order':<22} {'images/s':>9} {'p50 ms':>8} {'p99 ms':>8}  continuous is faster by")
    for most in (1, 8):
        found = {order: measured(order, card, clients, batch, most, seconds) for order in ORDERS}
        best = found["continuous"][0]
        for order, (rate, p50, p99) in found.items():
            asked = "1" if most == 1 else f"1 to {most}"
            click.echo(f"{asked:<8} {order:<22} {rate:9.0f} {p50:8.1f} {p99:8.1f}  {best / rate:.2f}")


if __name__ == "__main__":
    main()
