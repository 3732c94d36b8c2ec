"""Comparing to the bit, and running requests on both sides."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_rt.denoiser import Batch
from ddpm_rt.device.device_engine import DeviceEngine
from ddpm_rt.device.graphs import Mode
from ddpm_rt.device.loop import DeviceLoop
from ddpm_rt.engine import Engine, Watch
from ddpm_rt.host_loop import Step
from ddpm_rt.requests.request import Request


def differing(found: NDArray[np.float32], expected: NDArray[np.float32]) -> int:
    """How many values have other bits."""
    if found.shape != expected.shape:
        raise AssertionError(f"shapes {found.shape} and {expected.shape}")
    pair = (np.ascontiguousarray(side, np.float32).view(np.uint32) for side in (found, expected))
    return int(np.not_equal(*pair).sum())


def kept(step: Step) -> Step:
    """A step whose arrays nobody writes over."""
    return Step(step.row, step.t, step.x.copy(), step.x0.copy())


def steps_on_host(engine: Engine, request: Request) -> list[Step]:
    """All steps of a request of one batch, by the loop in NumPy."""
    return [kept(step) for step in request.bind(engine.card).trajectory(engine, request.samples)]


def steps_on_device(device: Any, engine: DeviceEngine, request: Request, mode: Mode = "stream") -> list[Step]:
    """The same by the device loop, which shows every step to the host."""
    steps: list[Step] = []
    watch = Watch(frame=lambda step: steps.append(kept(step)), frames=range(request.calls))
    loop = DeviceLoop(device, engine, mode=mode)
    try:
        for _ in loop.finals(request.bind(loop.engine.card), request.samples, watch):
            pass
    finally:
        loop.close()
    return steps


def finals(loop: DeviceLoop, request: Request) -> Batch:
    """The images of a request that nobody watches."""
    return np.concatenate(
        [images for _, images in loop.finals(request.bind(loop.engine.card), request.samples, Watch())]
    )
