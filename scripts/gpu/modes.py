"""Part toy: the whole device loop on the toy network, in every mode, compared with the host loop."""

import time
from collections.abc import Iterator
from typing import Any, get_args

import numpy as np

from ddpm_rt.denoiser import Batch
from ddpm_rt.device.graphs import Mode
from ddpm_rt.device.loop import DeviceLoop
from ddpm_rt.engine import Watch
from ddpm_rt.errors import DdpmRtError
from ddpm_rt.requests.request import Request

from .bits import differing, finals, steps_on_device, steps_on_host
from .check import Ask, Check, Outcome, attempt, held
from .toy import ToyEngine, ToyNetwork, toy_card

MODES: tuple[Mode, ...] = get_args(Mode)
POISON = 499  # the t at which the network returns NaN: row 25 of 50


def images_on_host(request: Request, card: Any) -> Batch:
    """The images of the request, by the host loop."""
    network = ToyNetwork(card)
    return np.concatenate(
        [images for _, images in request.bind(network.card).finals(network, request.samples, Watch())]
    )


def in_mode(device: Any, request: Request, shape: tuple[int, int, int], mode: Mode, streams: int = 1) -> Outcome:
    """Draw the images twice with one loop, which reuses its graphs in the second run."""
    card = toy_card(shape)
    loop = DeviceLoop(device, ToyEngine(device, card), mode=mode, streams=streams)
    try:
        first = finals(loop, request)
        started = time.perf_counter()
        second = finals(loop, request)
        took = time.perf_counter() - started
    finally:
        loop.close()
    expected = images_on_host(request, card)
    wrong = differing(first, expected) + differing(second, expected)
    each = 1e6 * took / (request.calls * -(-request.count // request.batch))
    return held(wrong == 0, f"{wrong} values differ, {each:.1f} us a step", us_a_step=each, steps=request.calls)


def watched(device: Any, request: Request, mode: Mode) -> Outcome:
    """Compare the frames of every step of a chain in this mode."""
    card = toy_card()
    found = steps_on_device(device, ToyEngine(device, card), request, mode)
    expected = steps_on_host(ToyNetwork(card), request)
    pairs = zip(found, expected, strict=True)
    wrong = sum(differing(ours.x, theirs.x) + differing(ours.x0, theirs.x0) for ours, theirs in pairs)
    return held(wrong == 0, f"{wrong} values of {len(found)} steps differ")


def broken(device: Any, mode: Mode) -> Outcome:
    """A network that returns NaN once: the loop must raise, and name the step."""
    engine = ToyEngine(device, toy_card(), poison=POISON)
    loop = DeviceLoop(device, engine, mode=mode)
    try:
        finals(loop, Request(sampler="ddpm", steps=50, count=2))
    except DdpmRtError as error:
        return held(f"at step 25, t = {POISON}" in str(error), str(error))
    finally:
        loop.close()
    return held(False, "nothing was said")


def checks(ask: Ask) -> Iterator[Check]:
    """Every mode at the shape of CIFAR-10; then several streams, frames, and outputs that are not finite."""
    steps = 100 if ask.quick else 1000
    shape = (3, 32, 32)
    for mode in MODES:
        for batch in (1, 16):
            request = Request(sampler="ddpm", steps=steps, count=batch, batch=batch, seed=3)
            yield attempt(
                f"NumPy's bits after {steps} steps: {mode}, batch {batch}",
                lambda mode=mode, request=request: in_mode(ask.device, request, shape, mode),
            )
    several = Request(sampler="ddpm", steps=50, count=22, batch=4, seed=3)
    for mode in MODES:
        yield attempt(
            f"NumPy's bits with three streams: {mode}",
            lambda mode=mode: in_mode(ask.device, several, shape, mode, streams=3),
        )
    seen = Request(sampler="dpm++", steps=40, count=2)
    for mode in MODES:
        yield attempt(f"NumPy's bits in every frame: {mode}", lambda mode=mode: watched(ask.device, seen, mode))
    for mode in MODES:
        yield attempt(f"an output that is not finite ends the run: {mode}", lambda mode=mode: broken(ask.device, mode))
