"""The Python interface: open a model, draw samples."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from .artifacts.card import ModelCard
from .artifacts.plan_record import is_plan, read_plan
from .artifacts.steps_file import read_steps
from .denoiser import Batch
from .device.device_denoiser import DeviceDenoiser
from .engine import Engine
from .engines.opening import Provider, open_device_denoiser, provider_for
from .engines.ort_cpu import OrtDenoiser
from .errors import DdpmRtError
from .models import bundled_model
from .requests.request import Progress, Request
from .samplers.schedule import Spacing

Model = Engine | Path | str | None  # an open denoiser, a path, or None for the bundled model


def open_denoiser(
    path: Path | str | None = None,
    *,
    threads: int | None = None,
    provider: Provider = "auto",
    device: int = 0,
    stream_steps: bool = False,
) -> Engine:
    """Open an exported model, by default the bundled one: a callable `(x, t) -> out` with a `card`.

    >>> denoise = ddpm_rt.open_denoiser()
    >>> denoise(np.zeros((2, 1, 28, 28), np.float32), np.array([999, 0])).shape
    (2, 1, 28, 28)

    `provider` auto is TensorRT for a plan, and for an ONNX file CUDA where that works, else the CPU; `device` is the
    number of a GPU. `threads` are the CPU's. `stream_steps` launches each step of a chain by itself, without a CUDA
    graph. Raises DdpmRtError when the file is not a model that `ddpm-rt export` or `build` wrote, or cannot be run
    here, ValueError for options that do not go together.
    """
    model = bundled_model() if path is None else Path(path)
    chosen = provider_for(model, provider, device)
    if chosen != "cpu":
        try:
            return open_device_denoiser(model, chosen, device, stream_steps=stream_steps)
        except DdpmRtError:
            if provider != "auto" or device > 0 or is_plan(model):
                raise  # else the libraries of a GPU are not all there, as `ddpm-rt doctor` says
    return OrtDenoiser(model, threads=threads)


@contextmanager
def opened(path: Path | str | None = None, **how: Any) -> Iterator[Engine]:
    """`open_denoiser` for a while: what a GPU lent is given back, and kept for next time what it compiled."""
    denoise = open_denoiser(path, **how)
    with ExitStack() as stack:
        if isinstance(denoise, DeviceDenoiser):
            stack.callback(denoise.close)
        yield denoise


def read_card(path: Path | str) -> ModelCard:
    """The card of an exported model or of a plan, without running it.

    Raises DdpmRtError when it is neither.
    """
    model = Path(path)
    return read_plan(model).card if is_plan(model) else OrtDenoiser(model).card


def sample(
    engine: Engine | Path | str | None = None,
    *,
    sampler: str | None = None,
    steps: int | None = None,
    eta: float | None = None,
    spacing: Spacing | None = None,
    timesteps: Sequence[int] | None = None,
    dialect: str | None = None,
    steps_file: Path | str | None = None,
    seed: int = 0,
    first: int = 0,
    count: int = 16,
    batch: int = 16,
    label: int | Sequence[int] | None = None,
    guidance: float = 1.0,
    threads: int | None = None,
    provider: Provider = "auto",
    device: int = 0,
    stream_steps: bool = False,
    progress: Progress | None = None,
) -> Batch:
    """Draw samples `first` .. `first + count - 1` of `seed`: float32 `[count, C, H, W]`, in [-1, 1].

    `engine` is a path, an open denoiser, or None for the bundled model; `threads`, `provider`, `device` and
    `stream_steps` are `open_denoiser`'s, for a path. The sampler is ddim with 50 steps unless asked
    for otherwise; `steps_file` is one that `ddpm-rt steps` wrote, instead of all options before it. Of several labels,
    sample n has number n modulo their count. A sample is the same whatever `first`,
    `count` and `batch` it is drawn with, up to the rounding of the network at that batch size.

    >>> ddpm_rt.sample(steps=10, count=4).shape
    (4, 1, 28, 28)

    Raises ValueError for arguments out of range, DdpmRtError for a model that cannot be used.
    """
    with ExitStack() as stack:
        denoise: Any = engine
        if engine is None or isinstance(engine, str | Path):
            how: dict[str, Any] = {"provider": provider, "device": device, "stream_steps": stream_steps}
            denoise = stack.enter_context(opened(engine, threads=threads, **how))
        request = Request(
            sampler=sampler,
            steps=steps,
            eta=eta,
            spacing=spacing,
            timesteps=timesteps,
            dialect=dialect,
            plan=None if steps_file is None else read_steps(Path(steps_file), denoise.card),
            seed=seed,
            first=first,
            count=count,
            batch=batch,
            label=[label] if isinstance(label, int) else label,
            guidance=guidance,
        )
        return request.drawn(denoise, progress)


def draw(request: Request, engine: Model = None) -> Batch:
    """The images that `request` asks for, float32 `[count, C, H, W]`."""
    denoise = open_denoiser(engine) if engine is None or isinstance(engine, str | Path) else engine
    request.table(denoise.card)
    return request.drawn(denoise)
