"""Bitwise comparison, and requests run by the host loop and by the device loop."""

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
    """The number of float32 values whose bits differ. Raises AssertionError if the shapes differ."""
    if found.shape != expected.shape:
        raise AssertionError(f"shapes {found.shape} and {expected.shape}")
    pair = (np.ascontiguousarray(side, np.float32).view(np.uint32) for side in (found, expected))
    return int(np.not_equal(*pair).sum())


def kept(step: Step) -> Step:
    """A copy of a step: the loop overwrites its own arrays."""
    return Step(step.row, step.t, step.x.copy(), step.x0.copy())


def steps_on_host(engine: Engine, request: Request) -> list[Step]:
    """All steps of a request of one batch, by the host loop."""
    return [kept(step) for step in request.bind(engine.card).trajectory(engine, request.samples)]


def steps_on_device(device: Any, engine: DeviceEngine, request: Request, mode: Mode = "stream") -> list[Step]:
    """All steps of a request of one batch, by the device loop, which copies every step to the host."""
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
    """The final images of a request, float32 `[count, C, H, W]`, without frames."""
    return np.concatenate(
        [images for _, images in loop.finals(request.bind(loop.engine.card), request.samples, Watch())]
    )
