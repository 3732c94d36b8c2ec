"""Part fitted: tables of few calls that were fitted to the bundled model, run and fitted by the device."""

import statistics
import time
from collections.abc import Iterator
from typing import Any

from ddpm_rt import open_denoiser
from ddpm_rt.artifacts.fitted_tables import fitted_sampler, fitted_tables
from ddpm_rt.device.loop import DeviceLoop
from ddpm_rt.models import bundled_model
from ddpm_rt.requests.request import Request
from ddpm_rt.tune import RanOn, Tuning, tune

from .bits import finals
from .check import Ask, Check, NotHereError, Outcome, attempt, held, noted
from .unet import engine_of, parity

IMAGES, ROUNDS, DDIM_STEPS = 16, 5, 50
FIT = {"samples": 64, "held_out": 32, "batch": 32}


def request_of(engine: Any, calls: int, count: int, seed: int = 0) -> Request:
    """A request with the bundled model's table of so many calls."""
    table = fitted_sampler(bundled_model(), engine.card, calls)
    return Request(compiled=table, count=count, batch=count, seed=seed)


def times(device: Any, calls: int) -> Outcome:
    """The time of 16 images by a fitted table, against DDIM, on one engine in turn."""
    engine = engine_of("bundled", "float16")
    loop = DeviceLoop(device, engine)
    ms: dict[str, list[float]] = {"fitted": [], "ddim": []}
    try:
        for number in range(ROUNDS + 1):
            for name in ms:
                fitted = request_of(engine, calls, IMAGES, number)
                ddim = Request(sampler="ddim", steps=DDIM_STEPS, count=IMAGES, batch=IMAGES, seed=number)
                started = time.perf_counter()
                finals(loop, fitted if name == "fitted" else ddim)
                ms[name].append(1000 * (time.perf_counter() - started))
    finally:
        loop.close()
    medians = {name: statistics.median(values[1:]) for name, values in ms.items()}  # the first round captures graphs
    text = f"{medians['fitted']:.3f} ms for {IMAGES} images, ddim {DDIM_STEPS} {medians['ddim']:.3f} ms"
    return noted(text, fitted_ms=medians["fitted"], ddim_ms=medians["ddim"])


def fit_here(quick: bool) -> Outcome:
    """Fit a table of 6 calls to the engine on the GPU: it must be closer to its teacher than the others."""
    from .torch_engine import TorchNetwork

    engine, how = TorchNetwork(engine_of("bundled")), FIT | ({"samples": 16, "held_out": 8} if quick else {})
    started = time.perf_counter()
    found = tune(engine, Tuning(calls=6, **how), RanOn(model="", precision="fp32", provider="cuda"))
    took, errors = time.perf_counter() - started, found.fit.errors
    text = ", ".join(f"{name} {error:.4f}" for name, error in errors.items())
    return held(not found.fit.worse_than, f"RMS to the teacher: {text}; {took:.0f} s", seconds=took, **errors)


def checks(ask: Ask) -> Iterator[Check]:
    """Every table that the bundled model carries, and a fit on the device."""

    def carried() -> Outcome:
        if not (tables := fitted_tables(bundled_model())):
            raise NotHereError("the bundled model carries no fitted tables")
        return noted(f"of {', '.join(map(str, tables))} calls", tables=len(tables))

    def steps(calls: int) -> Outcome:
        engine = engine_of("bundled")
        return parity(ask.device, engine, open_denoiser(), request_of(engine, calls, 4))

    yield attempt("bundled: fitted tables", carried)
    for calls in fitted_tables(bundled_model()):
        words = f"bundled, fitted, {calls} calls"
        yield attempt(f"{words}: every step is that of ONNX Runtime on the CPU", lambda calls=calls: steps(calls))
        yield attempt(f"{words}: time of images", lambda calls=calls: times(ask.device, calls))
    yield attempt("bundled: a table of 6 calls is fitted on the GPU", lambda: fit_here(ask.quick))
