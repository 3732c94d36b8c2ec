"""Part unet: chains of a real network, a torch module captured into our CUDA graphs."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ddpm_rt import open_denoiser
from ddpm_rt.denoiser import Batch
from ddpm_rt.device.graphs import Mode
from ddpm_rt.device.loop import DeviceLoop
from ddpm_rt.engine import Engine
from ddpm_rt.errors import DdpmRtError
from ddpm_rt.requests.request import Request

from .bits import differing, finals, steps_on_device, steps_on_host
from .check import Ask, Check, Outcome, attempt, held, noted
from .models import MODELS, load_model, torch_with_cuda

STEP_LIMIT = 2e-4  # largest error of x at any step in float32: the rounding of two backends, not amplified by the chain
PSNR_LIMIT = 40.0  # dB, of final images in half precision, for the range [-1, 1]


def engine_of(name: str, dtype: str = "float32", *, compiled: bool = False) -> Any:
    """A `TorchEngine` of one of the models."""
    torch = torch_with_cuda()
    from .torch_engine import TorchEngine, exact_float32

    exact_float32()
    module, card = load_model(name)
    return TorchEngine(module, card, dtype=getattr(torch, dtype), compiled=compiled)


def parity(device: Any, engine: Any, reference: Engine, request: Request, limit: float = STEP_LIMIT) -> Outcome:
    """Compare x after every step of the device loop and of the host loop."""
    found, expected = steps_on_device(device, engine, request, "replay"), steps_on_host(reference, request)
    errors = [float(np.abs(ours.x - theirs.x).max()) for ours, theirs in zip(found, expected, strict=True)]
    worst = int(np.argmax(errors))
    text = f"worst |x - x'| {errors[worst]:.1e} at step {worst} of {len(errors)}, last {errors[-1]:.1e}"
    return held(errors[worst] <= limit, f"{text}; limit {limit:.0e}", worst=errors[worst], last=errors[-1])


def images(device: Any, engine: Any, request: Request, mode: Mode = "replay") -> Batch:
    """The final images of one request."""
    loop = DeviceLoop(device, engine, mode=mode)
    try:
        return finals(loop, request)
    finally:
        loop.close()


def psnr(device: Any, name: str, dtype: str, request: Request) -> Outcome:
    """The PSNR of final images in half precision against float32 with the same noise. bfloat16 has no limit: 8 bits."""
    expected, found = (images(device, engine_of(name, kind), request) for kind in ("float32", dtype))
    value = float(10 * np.log10(4.0 / max(float(np.mean((found - expected) ** 2)), 1e-20)))
    if dtype == "bfloat16":
        return noted(f"{value:.1f} dB", psnr=value)
    return held(value >= PSNR_LIMIT, f"{value:.1f} dB; at least {PSNR_LIMIT:.0f}", psnr=value)


def same_in(device: Any, name: str, request: Request, mode: Mode) -> Outcome:
    """Compare the images of `mode` with those of mode stream, which must be bit-equal."""
    expected, found = (images(device, engine_of(name), request, kind) for kind in ("stream", mode))
    wrong = differing(found, expected)
    return held(wrong == 0, f"{wrong} of {found.size} values differ")


def in_while(device: Any, name: str, dtype: str, request: Request) -> Outcome:
    """Whether the captured module can be the body of a while node. Both answers are valid."""
    engine = engine_of(name, dtype)
    try:
        found = images(device, engine, request, "while")
    except DdpmRtError as error:
        return noted(f"no: {error}", accepted=0)
    wrong = differing(found, images(device, engine, request))
    text = f"yes, and {wrong} of {found.size} values differ from replay"
    return noted(text, accepted=1) if wrong == 0 else held(False, text, accepted=1)


def checks(ask: Ask) -> Iterator[Check]:
    """Both models. The PSNR is meaningful only for the trained one."""
    device, steps = ask.device, 20 if ask.quick else 50
    ddpm = Request(sampler="ddpm", steps=steps, count=4, batch=4, seed=1)
    ddim = Request(sampler="ddim", steps=steps, count=16, batch=16, seed=1)

    def with_cpu() -> Outcome:
        return parity(device, engine_of("bundled"), open_denoiser(), ddpm)

    def with_torch(name: str) -> Outcome:
        from .torch_engine import TorchNetwork

        engine = engine_of(name)
        return parity(device, engine, TorchNetwork(engine), ddpm)

    yield attempt("bundled, float32: every step is that of ONNX Runtime on the CPU", with_cpu)
    for name in MODELS:
        words = f"{name}, float32: every step is that of the loop on the host"
        yield attempt(words, lambda name=name: with_torch(name))
    for name in MODELS:
        for mode in ("replay", "chunks"):
            words = f"{name}, float32: {mode} draws what stream does, to the bit"
            yield attempt(words, lambda name=name, mode=mode: same_in(device, name, ddpm, mode))
    for name in MODELS:
        for dtype in ("float16", "bfloat16"):
            yield attempt(f"{name}, {dtype}: final images are float32's", lambda name=name, dtype=dtype: psnr(
                device, name, dtype, ddim))  # fmt: skip
    for name in MODELS:
        for dtype in ("float32", "float16"):
            yield attempt(f"{name}, {dtype}: goes into a while graph", lambda name=name, dtype=dtype: in_while(
                device, name, dtype, ddpm))  # fmt: skip
