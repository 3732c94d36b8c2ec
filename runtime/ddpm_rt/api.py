"""The Python interface: open a model, read its card, draw samples."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from .artifacts.card import ModelCard
from .artifacts.onnx_card import read_onnx_card
from .artifacts.plan_record import is_plan, read_plan
from .artifacts.steps_file import read_steps
from .denoiser import Batch
from .engine import Engine
from .engines.engine_options import EngineOptions, Provider
from .engines.opening import Model, open_engine, opened
from .engines.ort_cpu import bf16_on_cpu
from .requests.fitted import with_fitted
from .requests.request import Progress, Request
from .text import quoted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Unpack  # Python 3.11; only type checkers read this

    from .samplers.schedule import Spacing


def open_denoiser(
    path: Path | str | None = None,
    *,
    threads: int | None = None,
    provider: Provider = "auto",
    device: int = 0,
    stream_steps: bool = False,
) -> Engine:
    """Open an exported model, by default the bundled one: a callable `(x, t) -> out` with a `card`.

    A class-conditional model, such as the bundled one, is called as `(x, t, y)` with y, the labels.

    >>> with ddpm_rt.open_denoiser() as denoise:
    ...     denoise(np.zeros((2, 1, 28, 28), np.float32), np.array([999, 0]), np.array([3, 7])).shape
    (2, 1, 28, 28)

    `provider` auto is TensorRT for a plan, and for an ONNX file CUDA where that works, else the CPU; `device` is the
    number of a GPU. `threads` are the CPU's. `stream_steps` launches each step of a chain by itself, without a CUDA
    graph. Raises DdpmRtError when the file is not a model that `ddpm-rt export` or `build` wrote, or cannot be run
    here, ValueError for options that do not go together.
    """
    options = EngineOptions(threads=threads, provider=provider, device=device, stream_steps=stream_steps)
    return open_engine(path, options)


def read_card(path: Path | str) -> ModelCard:
    """The card of an exported model or of a plan, from the file's bytes.

    Raises DdpmRtError when it is neither, or when it is an ONNX file in bf16, which no table made for it could run.
    """
    model = Path(path)
    if is_plan(model):
        return read_plan(model).card
    card = read_onnx_card(model)
    if card.precision == "bf16":
        raise bf16_on_cpu(model)
    return card


class SampleKeywords(TypedDict, total=False):
    """The keywords of `sample`: fields of `Request` and of `EngineOptions`, and `steps_file`."""

    sampler: str | None
    steps: int | None
    eta: float | None
    spacing: "Spacing | None"
    timesteps: "Sequence[float] | None"
    dialect: str | None
    steps_file: Path | str | None
    seed: int
    first: int
    count: int
    batch: int
    label: "int | Sequence[int] | None"
    guidance: float
    inputs: "Mapping[str, Any]"
    null_inputs: "Mapping[str, Any]"
    threads: int | None
    provider: Provider
    device: int
    stream_steps: bool


def sample(
    engine: Model = None,
    request: Request | None = None,
    *,
    options: EngineOptions | None = None,
    progress: Progress | None = None,
    **keywords: "Unpack[SampleKeywords]",
) -> Batch:
    """Draw samples `first` .. `first + count - 1` of `seed`: float32 `[count, C, ...]`; images are in [-1, 1].

    `engine` is a path, an open engine, or None for the bundled model. `request` says what to draw and `options` how
    the engine is opened; or give their fields as keywords: `sampler`, `steps`, `eta`, `spacing`, `timesteps`,
    `dialect`, `seed`, `first`, `count`, `batch`, `label`, `guidance`, `inputs`, `null_inputs`;
    `threads`, `provider`, `device`, `stream_steps`.
    `steps_file` names a file of `ddpm-rt steps`, which replaces the options of the sampler; sampler `fitted` is a
    table that the model file carries. The default is ddim with 50 steps. Of several labels, sample n has number n
    modulo their count. `inputs` are the values of the model's named inputs: a number or an array for all samples, or
    an array of several entries, of which sample n takes number n modulo their count. A sample is the same whatever
    `first`, `count` and `batch` it is drawn with, up to the rounding of the network at that batch size.

    >>> ddpm_rt.sample(steps=10, count=4).shape
    (4, 1, 28, 28)

    Raises ValueError for arguments out of range, TypeError for a keyword that is unknown or stands beside the object
    that holds it, DdpmRtError for a model that cannot be used.
    """
    asked: dict[str, Any] = dict(keywords)
    steps_file = asked.pop("steps_file", None)
    of_engine = {field.name: asked.pop(field.name) for field in fields(EngineOptions) if field.name in asked}
    for given, beside in ((options, of_engine), (request, asked)):
        if given is not None and beside:
            raise TypeError(f"{type(given).__name__} holds {', '.join(beside)} already; give one of the two")
    if request is not None and steps_file is not None:
        raise TypeError("a Request holds its sampler already; leave out steps_file")
    if not isinstance(request, Request | None):
        raise ValueError(f"request must be a ddpm_rt.Request, not {quoted(request)}")
    with opened(engine, options or EngineOptions(**of_engine)) as denoise:
        if request is None:
            compiled = None if steps_file is None else read_steps(Path(steps_file), denoise.card)
            request = Request(**with_fitted({**asked, "compiled": compiled}, denoise.model_path(), denoise.card))
        return request.drawn(denoise, progress)
