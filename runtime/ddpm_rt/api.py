"""The Python interface: open a model, draw samples."""

from collections.abc import Sequence
from pathlib import Path

from .denoiser import Batch, Engine
from .errors import DdpmRtError
from .models import bundled_model
from .ort import OrtDenoiser
from .plan import is_plan
from .request import Progress, Request
from .schedule import Spacing
from .steps_file import read_steps


def open_denoiser(path: Path | str | None = None, *, threads: int | None = None) -> Engine:
    """Open an exported model, by default the bundled one: a callable `(x, t) -> out` with a `card`.

    >>> denoise = ddpm_rt.open_denoiser()
    >>> denoise(np.zeros((2, 1, 28, 28), np.float32), np.array([999, 0])).shape
    (2, 1, 28, 28)

    Raises DdpmRtError when the file is not a model that `ddpm-rt export` wrote.
    """
    if path is not None and Path(path).is_file() and is_plan(Path(path)):
        raise DdpmRtError(
            f"{path} is a TensorRT plan, which cannot be sampled here yet; name the .onnx it was built from"
        )
    return OrtDenoiser(bundled_model() if path is None else path, threads=threads)


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
    progress: Progress | None = None,
) -> Batch:
    """Draw samples `first` .. `first + count - 1` of `seed`: float32 `[count, C, H, W]`, in [-1, 1].

    `engine` is a path, an open denoiser, or None for the bundled model. The sampler is ddim with 50 steps unless asked
    for otherwise; `steps_file` is one that `ddpm-rt steps` wrote, instead of all options before it. Of several labels,
    sample n has number n modulo their count. A sample is the same whatever `first`,
    `count` and `batch` it is drawn with, up to the rounding of the network at that batch size.

    >>> ddpm_rt.sample(steps=10, count=4).shape
    (4, 1, 28, 28)

    Raises ValueError for arguments out of range, DdpmRtError for a model that cannot be used.
    """
    denoise = open_denoiser(engine, threads=threads) if engine is None or isinstance(engine, str | Path) else engine
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
