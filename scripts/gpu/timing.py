"""Part kernel: the time of a step alone, without the network."""

import statistics
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from ddpm_rt.device.lanes import lanes_of, rows_of
from ddpm_rt.device.layout import Layout
from ddpm_rt.requests.request import Request

from .check import Ask, Check, Outcome, aimed, attempt, noted
from .toy import ToyEngine, toy_card
from .workbench import Workbench

SHAPES = {"MNIST": (1, 28, 28), "CIFAR-10": (3, 32, 32)}
UNROLLED, LAUNCHES, ROUNDS = 100, 8, 7
AIM = 5.0  # microseconds at batch 1


def microseconds(device: Any, shape: tuple[int, int, int], batch: int, *, history: bool = False) -> tuple[float, float]:
    """Microseconds per step: of the GPU, in a graph of UNROLLED steps, and of the host, launching one-step graphs."""
    card = toy_card(shape)
    plan = Request(sampler="dpm++" if history else "ddpm", steps=1000).bind(card).sampler
    rows = rows_of(plan.table, plan.clip)
    lanes = lanes_of(0, range(batch), end=len(rows))
    with Workbench(device, ToyEngine(device, card), Layout(batch, batch, history=history), rows, lanes) as bench:
        bench.launch("ddpm_rt_begin")
        bench.launch("ddpm_rt_step")
        many = bench.graph(lambda builder: bench.launch("ddpm_rt_step", builder), UNROLLED)
        one = bench.graph(lambda builder: bench.launch("ddpm_rt_step", builder))
        busy, called = [], []
        for _ in range(ROUNDS):
            bench.write("lanes", lanes)  # back to row 0, because a finished lane is faster
            busy.append(bench.seconds(lambda: [many.launch(bench.stream) for _ in range(LAUNCHES)]))
            bench.write("lanes", lanes)
            started = time.perf_counter()
            for _ in range(UNROLLED):
                one.launch(bench.stream)
            called.append(time.perf_counter() - started)
            bench.stream.sync()
    return 1e6 * statistics.median(busy) / (UNROLLED * LAUNCHES), 1e6 * statistics.median(called) / UNROLLED


def checks(ask: Ask) -> Iterator[Check]:
    """Each shape at each batch size. The target applies to batch 1."""

    def measure(shape: tuple[int, int, int], batch: int, history: bool) -> Outcome:
        busy, called = microseconds(ask.device, shape, batch, history=history)
        floats = 4 * int(np.prod(shape)) * batch * (3 + 2 * history)  # x in and out, out in, x0 in and out
        text = f"{busy:.2f} us a step on the GPU, {called:.2f} us of the host's to launch one ({floats / 1e6:.2f} MB)"
        figures = {"gpu_us": busy, "host_us": called, "bytes": floats, "batch": batch}
        return aimed(busy <= AIM, f"{text}; aim {AIM:.0f}", **figures) if batch == 1 else noted(text, **figures)

    for name, shape in SHAPES.items():
        for batch in ask.batches:
            for history in (False, True):
                words = f"the step alone, {name}, batch {batch}" + (", with history" if history else "")
                yield attempt(words, lambda shape=shape, batch=batch, history=history: measure(shape, batch, history))
