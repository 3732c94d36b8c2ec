"""The speed of an engine with a step table: bare calls and whole chains, in turn in one process."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace

import numpy as np

from ..engine import Engine, Watch
from ..engines.ort_cpu import OrtDenoiser
from ..noise import INITIAL_STEP, normal
from ..requests.request import BoundRequest, Request
from .machine import PeakMemory
from .timing import Spread, Timed, in_turn, seconds

LEAST_ROUNDS = 3
WARM_UP = 3  # calls

Open = Callable[[], Engine]


@dataclass(frozen=True)
class Limit:
    """When a measurement ends: after so many rounds, or so many seconds if there were at least LEAST_ROUNDS."""

    rounds: int = 15
    seconds: float = 30.0

    def run(self) -> Iterator[int]:
        """The numbers of the rounds, from 0."""
        started = time.perf_counter()
        for number in range(max(self.rounds, LEAST_ROUNDS)):
            if number >= LEAST_ROUNDS and time.perf_counter() - started > self.seconds:
                return
            yield number


@dataclass(frozen=True)
class Against:
    """Another model, called in turn with the measured one on the same inputs."""

    ms_per_call: Spread
    times_as_fast: Spread  # its time over that of the measured model, round by round


@dataclass(frozen=True)
class Figures:
    """What was measured at one batch size. A round is one chain, and as many bare calls as the chain makes."""

    batch: int
    calls_per_sample: int
    rounds: int
    ms_per_call: Spread  # of all calls
    images_per_second: Spread  # of the chains
    loop_overhead: Spread  # chain / its calls of the network alone, round by round
    peak_memory: int | None  # bytes of the process, its engine included; None where the system does not tell
    against: Against | None


def measure(
    open_engine: Open, request: Request, *, batch: int, limit: Limit,
    against: Open | None = None, progress: Callable[[], object] = lambda: None,
) -> Figures:  # fmt: skip
    """Measure an engine, which is opened for it, with the sampler of `request` at one batch size.

    A bare call is one of the engine alone on prepared inputs: in ONNX Runtime `session.run`. With guidance it has
    twice the batch, as in the chain. Raises ValueError for what the model does not allow, DdpmRtError where an engine
    cannot be opened.
    """
    peak = PeakMemory()
    with ExitStack() as stack:
        engine = stack.enter_context(open_engine())
        bound = replace(request, count=batch, batch=batch).bind(engine.card).for_engine(engine)
        if bound.batch != batch:
            raise ValueError(f"the engine has room for batches of {bound.batch}, not of {batch}")
        sides = {"network": engine}
        if against is not None:
            sides["other"] = stack.enter_context(against())
            if (
                other := sides["other"].card
            ).image_shape != engine.card.image_shape or other.classes != bound.card.classes:
                raise ValueError("the two models take different inputs; their times cannot be compared")
        times = _rounds(engine, bound, sides, limit, progress)
    calls = {name: [sum(one) for one in times[name]] for name in sides}
    chains = [one for (one,) in times["chain"]]
    return Figures(
        batch=batch,
        calls_per_sample=bound.table.steps,
        rounds=len(chains),
        ms_per_call=_milliseconds(times["network"]),
        images_per_second=Spread.of([batch / chain for chain in chains]),
        loop_overhead=Spread.of([chain / alone for chain, alone in zip(chains, calls["network"], strict=True)]),
        peak_memory=peak.read(),
        against=None if against is None else Against(
            _milliseconds(times["other"]),
            Spread.of([theirs / ours for ours, theirs in zip(calls["network"], calls["other"], strict=True)]),
        ),
    )  # fmt: skip


def _rounds(
    engine: Engine, bound: BoundRequest, sides: dict[str, Engine], limit: Limit, progress: Callable[[], object]
) -> dict[str, list[list[float]]]:
    """The seconds of each call, or of the chain, by name and round; the order of a round changes."""
    calls = {name: list(bare_calls(side, bound)) for name, side in sides.items()}
    runs: dict[str, list[Timed]] = {
        **calls,
        "chain": [lambda: list(bound.finals(engine, bound.request.samples, Watch()))],
    }
    for call in (call for each in calls.values() for call in each[:WARM_UP]):
        call()
    times: dict[str, list[list[float]]] = {name: [] for name in runs}
    for _, order in zip(limit.run(), in_turn(list(runs)), strict=False):
        for name in order:
            times[name].append([seconds(run) for run in runs[name]])
        progress()
    return times


def bare_calls(engine: Engine, bound: BoundRequest) -> Iterator[Timed]:
    """The calls of a chain of `bound`, one for each row of its table, each on prepared inputs."""
    samples = bound.request.samples
    lanes = 2 if bound.guidance != 1.0 else 1  # a guided chain asks for both outputs in one call
    size = int(np.prod(bound.card.image_shape))
    x = normal(bound.seed, samples, INITIAL_STEP, size).reshape(len(samples), *bound.card.image_shape)
    labels = bound.labels(samples)
    x = np.concatenate([x] * lanes)
    y = None if labels is None else np.concatenate([labels] * lanes)
    for t in bound.table.t:
        times = np.full(len(x), t)
        if isinstance(engine, OrtDenoiser):
            yield engine.prepared(x, times, y)
        else:
            yield lambda times=times: engine(x, times, y)  # type: ignore[misc]


def _milliseconds(rounds: list[list[float]]) -> Spread:
    return Spread.of([1e3 * second for one in rounds for second in one])
