"""Parts times and compiled: all contestants run whole chains of both models in turn, compared with the roofline."""

import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from .check import Ask, Check, NotHereError, Outcome, aimed, attempt, held, noted
from .contestants import Entry, bare, compiled_loop, diffusers_chain, ort_chain, our_loop
from .models import MODELS, load_model, torch_with_cuda

ROUNDS = 5
RATIO, OVER_EAGER, OVER_COMPILED = 1.01, 5.0, 2.0  # targets; the last two at batch 1 of the CIFAR-10 network

Open = Callable[[Any, str, int, bool], Entry]  # (device, model, batch, quick)
BARE, OURS, EAGER, COMPILED = "bare engine, graph replayed", "ddpm-rt", "diffusers", "diffusers, compiled"
OURS_COMPILED, ORT = "ddpm-rt, compiled engine", "ONNX Runtime CUDA, host loop"
TIMES: dict[str, Open] = {BARE: bare, OURS: our_loop, EAGER: diffusers_chain, ORT: ort_chain}
WITH_COMPILER: dict[str, Open] = {
    OURS: our_loop,
    OURS_COMPILED: compiled_loop,
    COMPILED: lambda *given: diffusers_chain(*given, compiled=True),
}


class Finished(NamedTuple):
    """The result of a race: milliseconds per step, and the rows of the table."""

    ms: dict[str, float]
    ratio: float  # the median over the rounds of our time over the bare engine's; 0 if one of the two did not run
    checks: list[Check]


def race(device: Any, model: str, batch: int, field: dict[str, Open], *, quick: bool) -> Finished:
    """Run every contestant once to warm up, then all in turn for ROUNDS rounds. One that fails drops out."""
    entries: dict[str, Entry] = {}
    seconds: dict[str, list[float]] = {}
    checks: list[Check] = []

    def run(name: str, number: int) -> None:
        def lap() -> Outcome:
            if number == 0:
                entries[name] = field[name](device, model, batch, quick)
            started = time.perf_counter()
            entries[name].run(number)
            seconds.setdefault(name, []).append((time.perf_counter() - started) / entries[name].steps)
            return held(True, "")

        done = attempt(f"{model}, batch {batch}: {name}", lap)
        if done.state != "ok":
            checks.append(done)
            seconds.pop(name, None)

    for number in range(1 + (3 if quick else ROUNDS)):
        for name in field if number == 0 else list(seconds):
            run(name, number)
    ms = {name: 1000 * statistics.median(laps[1:]) for name, laps in seconds.items()}
    checks += [row_of(model, batch, name, ms[name], entries[name]) for name in ms]
    for entry in entries.values():
        with suppress(Exception):  # a failed GPU, already reported above
            entry.close()
    pairs = zip(seconds.get(OURS, [0]), seconds.get(BARE, [0]), strict=False)
    ratios = [ours / alone for ours, alone in list(pairs)[1:]]
    return Finished(ms, statistics.median(ratios) if ratios else 0.0, checks)


def row_of(model: str, batch: int, name: str, ms: float, entry: Entry) -> Check:
    """The time of one contestant, as text and as figures for the plot."""
    text = f"{ms:.4f} ms a step, {batch / ms:.2f} images/s at 1000 steps ({entry.steps} run; {entry.words})"
    figures: dict[str, float | int | str] = {"model": model, "batch": batch, "who": name, "ms_a_step": ms}
    return Check(f"{model}, batch {batch}: {name}", "noted", text, figures | {"steps": entry.steps})


def checks(ask: Ask) -> Iterator[Check]:
    """Both models at every batch size, without torch.compile."""
    rates = attempt("the GPU's own rates", rates_of_gpu)
    yield rates
    for model in MODELS[::-1]:
        for batch in ask.batches:
            words = f"{model}, batch {batch}"
            yield attempt(f"{words}: {ROOFLINE}", lambda model=model, batch=batch: roofline(model, batch, rates))
            finished = race(ask.device, model, batch, TIMES, quick=ask.quick)
            yield from finished.checks
            if finished.ratio:
                held_to = aimed(finished.ratio <= RATIO, f"{finished.ratio:.4f} x; aim {RATIO}", ratio=finished.ratio)
                yield Check(f"{words}: the chain over the bare engine", *held_to)
            yield from compare(words, finished.ms, EAGER, OVER_EAGER, is_aim=(model, batch) == ("cifar10", 1))


def compiled_checks(ask: Ask) -> Iterator[Check]:
    """Both models at every batch size with torch.compile, which takes minutes to compile."""
    if ask.quick:
        raise NotHereError("takes minutes: not with --quick")
    for model in MODELS[::-1]:
        for batch in ask.batches:
            words = f"{model}, batch {batch}"
            finished = race(ask.device, model, batch, WITH_COMPILER, quick=ask.quick)
            yield from finished.checks
            yield from compare(words, finished.ms, COMPILED, OVER_COMPILED, is_aim=(model, batch) == ("cifar10", 1))


def compare(words: str, ms: dict[str, float], other: str, aim: float, *, is_aim: bool) -> Iterator[Check]:
    """Our fastest contestant against `other`."""
    ours = [ms[name] for name in (OURS, OURS_COMPILED) if name in ms]
    if ours and other in ms:
        times = ms[other] / min(ours)
        text = f"{times:.2f} x" + (f"; aim {aim}" if is_aim else "")
        outcome = aimed(times >= aim, text, times=times) if is_aim else noted(text, times=times)
        yield Check(f"{words}: ddpm-rt over {other}", *outcome)


ROOFLINE = "roofline, float16"


def rates_of_gpu() -> Outcome:
    """The rates of `measure_rates`, as an outcome."""
    torch_with_cuda()
    from .rates import measure_rates

    rates = measure_rates()
    text = f"{rates.flops / 1e12:.0f} TFLOP/s in float16 products, {rates.bytes / 1e12:.2f} TB/s of copies"
    return noted(text, flops=rates.flops, bytes=rates.bytes)


def roofline(model: str, batch: int, measured: Check) -> Outcome:
    """The shortest possible time of one network call at the measured rates."""
    from .rates import Rates, work_of

    if measured.state != "noted":
        raise NotHereError("the rates were not measured")
    module, card = load_model(model)
    work = work_of(module, card.image_shape, batch)
    least = 1000 * work.seconds(Rates(float(measured.figures["flops"]), float(measured.figures["bytes"])))
    text = f"{least:.4f} ms a step: {work.flops / 1e9:.2f} GFLOP, {work.bytes / 1e6:.1f} MB"
    figures = {"model": model, "batch": batch, "who": "roofline", "ms_a_step": least}
    return noted(text, **figures, flops=work.flops, bytes=work.bytes)
