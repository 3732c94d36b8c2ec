"""Part memory: a long run does not grow, and an interrupted run frees its memory."""

from collections.abc import Iterator
from typing import Any

from ddpm_rt.device.graphs import Mode
from ddpm_rt.device.loop import DeviceLoop
from ddpm_rt.engine import Watch
from ddpm_rt.requests.request import Request

from .bits import finals
from .check import Ask, Check, Outcome, attempt, held
from .modes import MODES
from .toy import ToyEngine, toy_card
from .unet import engine_of

MIB = 1 << 20
GRAIN = 2 * MIB  # the driver's page size: smaller changes cannot be measured


def used(device: Any) -> int:
    """Bytes of device memory in use, by any process, after waiting for all work."""
    from cuda.bindings import driver

    driver.cuCtxSynchronize()
    status, free, total = driver.cuMemGetInfo()
    if int(status):
        raise RuntimeError(f"cuMemGetInfo: {status.name}")
    return int(total) - int(free)


def long_run(device: Any, engine: Any, steps: int, rounds: int, counts: tuple[int, ...] = (1, 4, 16)) -> Outcome:
    """Run requests of several kinds for several rounds, and compare the memory in use.

    Three counts need more chains than the loop keeps, so that chains are opened and closed. One count needs as many as
    it keeps.
    """
    kinds = [(count, steps - less) for count in counts for less in (0, 1)]
    loop, levels = DeviceLoop(device, engine, streams=2), []
    try:
        for _ in range(rounds):
            for count, few in kinds:
                finals(loop, Request(sampler="ddpm", steps=few, count=2 * count, batch=count))
            levels.append(used(device))
    finally:
        loop.close()
    growth = levels[-1] - levels[1 if rounds > 2 else 0]  # the first round allocates the most that any round needs
    text = f"{growth / MIB:+.0f} MiB from round 2 to round {rounds}, {len(kinds)} requests of {steps} steps each"
    return held(growth <= GRAIN, text, growth=growth, rounds=rounds)


def interrupted(device: Any, engine: Any, steps: int, mode: Mode, times: int = 3) -> Outcome:
    """Interrupt a run in the middle, through `watch.step`. Afterwards no more memory is in use than before."""
    request = Request(sampler="ddpm", steps=steps, count=8, batch=4)

    def once(break_at: int | None) -> int:
        heard = 0

        def step() -> None:
            nonlocal heard
            heard += 1
            if heard == break_at:
                raise KeyboardInterrupt

        loop = DeviceLoop(device, engine, mode=mode, streams=2)
        try:
            for _ in loop.finals(request.bind(loop.engine.card), request.samples, Watch(step)):
                pass
        except KeyboardInterrupt:
            pass
        finally:
            loop.close()
        return used(device)

    before = once(None)
    after = [once(steps // 2) for _ in range(times)][-1]
    text = f"{(after - before) / MIB:+.0f} MiB after {times} runs that broke off"
    return held(after - before <= GRAIN, text, growth=after - before)


def checks(ask: Ask) -> Iterator[Check]:
    """The toy network checks the loop's own memory; the UNet also checks the engine's memory."""
    device, steps, rounds = ask.device, (100 if ask.quick else 1000), (3 if ask.quick else 6)

    def toy() -> Any:
        return ToyEngine(device, toy_card((3, 32, 32)))

    yield attempt("a long run of the toy network does not grow", lambda: long_run(device, toy(), steps, rounds))
    # torch keeps memory for every stream that it has used, so this check opens no new streams
    yield attempt("a long run of the bundled model does not grow", lambda: long_run(
        device, engine_of("bundled"), steps // 10, rounds, (4,)))  # fmt: skip
    for mode in MODES:
        words = f"Ctrl-C gives the memory back: {mode}"
        yield attempt(words, lambda mode=mode: interrupted(device, toy(), steps, mode))
