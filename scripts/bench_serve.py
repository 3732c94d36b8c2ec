"""Measure `ddpm-rt serve` under load against the offline rate, and against plain servers of the same kind.

    python scripts/bench_serve.py > benchmarks/serve.txt

64 clients ask for 1 to 8 samples of 6, 10 or 50 steps, each again as soon as it has its images. Every image is then
drawn once more offline, by the host loop in whole batches, as `ddpm-rt sample` draws them: that gives the offline rate,
and the images that the served ones must equal up to the network's rounding at another batch size. A machine's speed
changes within minutes, so the load comes in rounds, each followed by its images offline; the figures are medians over
the rounds. Both rates are in steps of a sample: requests of 50 steps take long, so that the images that end in a round
are not the work done in it. The server's steps are those that /metrics counts.
The plain servers are the same server with another order of work (`serve_queues.py`).
"""

import asyncio
import io
import json
import math
import os
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
from serve_queues import ORDERS

import ddpm_rt
from ddpm_rt.models import bundled_model

MOST_SAMPLES = 8
ROUNDING = 5e-3  # most of a difference of pixels in [-1, 1]: the network at another batch size, over 50 steps
PORT_LINE = "http://127.0.0.1:"


class Load(NamedTuple):
    """What the server gets to do in a round."""

    clients: int
    steps: tuple[int, ...]  # of the images of a request, one of these
    batch: int
    seconds: float
    edges: float  # seconds before and after, in which the clients ask and nothing is measured


@dataclass
class Answers:
    """What the clients got in a round."""

    latencies: list[float] = field(default_factory=list)
    images: dict[tuple[int, int, int], Any] = field(default_factory=dict)  # (steps, seed, sample) to [C, H, W]
    errors: list[str] = field(default_factory=list)
    begin: float = 0.0  # of the measurement
    end: float = 0.0
    steps: float = 0.0  # of samples, in between


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: dict[str, Any]) -> tuple[int, bytes]:
    """One POST on an open connection: its status and body."""
    text = json.dumps(body).encode()
    head = (
        f"POST /v1/models/{bundled_model().stem}/images HTTP/1.1\r\n"
        "Host: localhost\r\nContent-Type: application/json\r\n"
        f"Accept: application/octet-stream\r\nContent-Length: {len(text)}\r\n\r\n"
    )
    writer.write(head.encode() + text)
    lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    length = next(int(line.split(":")[1]) for line in lines if line.lower().startswith("content-length:"))
    return int(lines[0].split()[1]), await reader.readexactly(length)


async def client(number: int, port: int, steps_of: Sequence[int], until: float, answers: Answers) -> None:
    rng, first = np.random.default_rng(number), 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.perf_counter() < until:
        steps, count = int(rng.choice(steps_of)), int(rng.integers(1, MOST_SAMPLES + 1))
        started = time.perf_counter()
        status, content = await ask(reader, writer, {"seed": number, "first": first, "count": count, "steps": steps})
        ended = time.perf_counter()
        if status != 200:
            answers.errors.append(f"{status}: {content[:200]!r}")
            continue
        images = np.load(io.BytesIO(content))
        answers.images |= {(steps, number, first + place): image for place, image in enumerate(images)}
        if answers.begin <= started <= answers.end:
            answers.latencies.append(ended - started)
        first += count
    writer.close()


async def crowd(port: int, load: Load) -> Answers:
    now = time.perf_counter()
    answers = Answers(begin=now + load.edges, end=now + load.edges + load.seconds)

    async def count() -> None:
        await asyncio.sleep(load.edges)
        before = await steps_run(port, load.batch)
        await asyncio.sleep(load.seconds)
        answers.steps = await steps_run(port, load.batch) - before

    until = answers.end + load.edges
    await asyncio.gather(count(), *(client(number, port, load.steps, until, answers) for number in range(load.clients)))
    return answers


async def steps_run(port: int, batch: int) -> float:
    """The steps of samples that the server has run: the sum of the fill of its network calls, times the batch."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return batch * sum(float(line.split()[-1]) for line in text.splitlines() if "batch_fill_sum" in line)


def memory_of(process: int) -> float:
    """MiB that are resident."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def offline(images: dict[tuple[int, int, int], Any], batch: int) -> tuple[float, float]:
    """Draw the same samples in whole batches: steps of a sample a second, and the largest difference."""
    groups: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for steps, seed, sample in images:
        groups[steps].append((seed, sample))
    seconds, largest = 0.0, 0.0
    with ddpm_rt.open_denoiser() as engine:
        for steps, addresses in groups.items():
            table = ddpm_rt.Request(steps=steps).bind(engine.card)
            for first in range(0, len(addresses), batch):
                part = addresses[first : first + batch]
                size, initial = math.prod(engine.card.image_shape), ddpm_rt.noise.INITIAL_STEP
                noise = np.concatenate([ddpm_rt.noise.normal(seed, [sample], initial, size) for seed, sample in part])
                denoise = table.denoiser(engine, [sample for _, sample in part])
                started = time.perf_counter()
                *_, last = ddpm_rt.trajectory(
                    denoise, table.table, engine.card.image_shape, seed=0, samples=range(len(part)),
                    clip=table.sampler.clip, begin=ddpm_rt.Beginning(noise.reshape(-1, *engine.card.image_shape)),
                )  # fmt: skip
                seconds += time.perf_counter() - started
                for (seed, sample), image in zip(part, last.x, strict=True):
                    largest = max(largest, float(np.abs(image - images[steps, seed, sample]).max()))
    return sum(steps for steps, _, _ in images) / seconds, largest


class Round(NamedTuple):
    """What a round showed."""

    answers: Answers
    rate: float  # steps of a sample a second
    offline: float  # the same in whole batches
    largest: float  # difference of a pixel
    memory: float  # of the server, MiB


def served(order: str, load: Load, rounds: int) -> list[Round]:
    """Rounds of load on a server with one order of work."""
    command = [sys.executable, __file__, "--as-server", order, "--batch", str(load.batch)]
    found = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().rsplit(PORT_LINE)[1].strip().strip("/"))
        for _ in range(rounds):
            answers = asyncio.run(crowd(port, load))
            memory = memory_of(process.pid)
            found.append(Round(answers, answers.steps / load.seconds, *offline(answers.images, load.batch), memory))
        process.terminate()
        process.wait()
    return found


def serve(order: str, batch: int) -> None:
    """The server of one order, until SIGTERM."""
    from ddpm_rt.engines.engine_options import EngineOptions
    from ddpm_rt.serve import server
    from ddpm_rt.serve.app import Access
    from ddpm_rt.serve.scheduler import Scheduler
    from ddpm_rt.serve.server_limits import ServerLimits

    def ordered(lanes: Any, **options: Any) -> Scheduler:
        return Scheduler(lanes, order=ORDERS[order](), **options)

    server.Scheduler = ordered  # type: ignore[assignment, misc]
    limits = ServerLimits(batch=batch, queue=4096, connections=1024)
    with (
        server.listening("127.0.0.1", 0) as listener,
        server.opened_service([], [], EngineOptions(), limits) as service,
    ):
        server.run(service, Access(), listener, lambda url: click.echo(url))


@click.command()
@click.option("--clients", default=64, show_default=True)
@click.option("--steps", default=(6, 10, 50), multiple=True, show_default=True, help="Of the images of a request.")
@click.option("--batch", default=16, show_default=True)
@click.option("--seconds", default=60.0, show_default=True, help="Of the measurement in a round.")
@click.option("--edges", default=10.0, show_default=True, help="Seconds before and after it.")
@click.option("--rounds", default=3, show_default=True, help="Of continuous batching.")
@click.option("--others", default=1, show_default=True, help="Rounds of each plain server.")
@click.option("--as-server", hidden=True)
def main(clients: int, steps: tuple[int, ...], batch: int, seconds: float, edges: float, rounds: int, others: int,
         as_server: str | None) -> None:  # fmt: skip
    """Print a table. The exit code is 1 if an answer was wrong."""
    if as_server is not None:
        serve(as_server, batch)
        return
    click.echo(f"{clients} clients; 1 to {MOST_SAMPLES} samples of {', '.join(map(str, steps))} steps; batch {batch}")
    click.echo(f"rounds of {seconds:.0f} s, each followed by its images offline; medians, and the range of the share")
    heads = f"{'steps/s':>9} {'offline/s':>10} {'share':>23} {'p50 s':>7} {'p99 s':>7}"
    click.echo(f"{'order':<22} {'rounds':>6} {heads} errors largest difference   MiB")
    load, is_wrong = Load(clients, steps, batch, seconds, edges), False
    for order in ORDERS:
        found = served(order, load, rounds if order == "continuous" else others)
        errors = [error for one in found for error in one.answers.errors]
        largest = max(one.largest for one in found)
        click.echo(f"{order:<22} {row(found)} {len(errors):6} {largest:18.2g}   "
                   f"{found[0].memory:.0f} -> {found[-1].memory:.0f}")  # fmt: skip
        for error in errors[:3]:
            click.echo(f"    {error}")
        is_wrong |= bool(errors) or largest > ROUNDING or not all(one.answers.images for one in found)
    sys.exit(1 if is_wrong else 0)


def row(found: Sequence[Round]) -> str:
    """The rates and latencies of all rounds."""
    shares = [one.rate / one.offline for one in found]
    rate, best = (statistics.median(rates) for rates in zip(*((one.rate, one.offline) for one in found), strict=True))
    latencies = sorted(latency for one in found for latency in one.answers.latencies) or [float("nan")]
    p50, p99 = statistics.median(latencies), latencies[int(0.99 * len(latencies))]
    share = f"{statistics.median(shares):.3f} ({min(shares):.3f} to {max(shares):.3f})"
    return f"{len(found):6} {rate:9.2f} {best:10.2f} {share:>23} {p50:7.3f} {p99:7.3f}"


if __name__ == "__main__":
    main()
