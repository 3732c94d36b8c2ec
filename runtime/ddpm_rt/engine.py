"""What runs a network: the callable with a card that every engine is, and the loop that an engine may bring along."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from .artifacts.card import ModelCard
from .denoiser import Batch, Inputs, Times, arguments_of
from .host_loop import Beginning, Noise, Step
from .numbers import as_array
from .samplers.dialects import Clip
from .samplers.table import StepTable
from .text import quoted

Own = TypeVar("Own", bound="Engine")


class ChainInputs(NamedTuple):
    """The arguments of `host_loop.trajectory` for one batch, which an engine's own loop takes too."""

    table: StepTable
    clip: Clip
    begin: Beginning
    noise: Noise | None = None  # replaces `ddpm_rt.noise`; only the host loop can run such a chain


class Watch(NamedTuple):
    """Callbacks that follow the drawing of images."""

    step: Callable[[], object] = lambda: None  # called after every step of a batch
    frame: Callable[[Step], object] = lambda step: None  # called after the rows in `frames`; copies what it keeps
    frames: Collection[int] = ()


class ChainRequest(Protocol):
    """What a loop is asked to run: a request that is bound to a model. `requests.BoundRequest` is one."""

    @property
    def seed(self) -> int: ...

    @property
    def batch(self) -> int:
        """The most samples to a call of the network."""

    @property
    def guidance(self) -> float: ...

    def batches(self, samples: Sequence[int]) -> Iterator[Sequence[int]]:
        """`samples` in portions of `batch`."""

    def labels(self, samples: Sequence[int]) -> NDArray[np.int64] | None:
        """The label of each sample, int64 `[len(samples)]`; None for an unconditional model."""

    def inputs(self, samples: Sequence[int]) -> Mapping[str, NDArray[Any]]:
        """The values of the model's conditions for these samples, `[len(samples), ...]` each."""

    def null_inputs(self, samples: Sequence[int]) -> Mapping[str, NDArray[Any]]:
        """The same of those values that stand for no condition; with guidance."""

    def chain(self, samples: Sequence[int]) -> ChainInputs:
        """Table, clip, beginning and noise for these samples, a batch."""


class Loop(Protocol):
    """A loop that runs whole chains where the engine is, without the host between the steps: `device.loop` is one."""

    def batch_for(self, request: ChainRequest) -> int:
        """The most samples to a batch, at most `request.batch`."""

    def finals(
        self, request: ChainRequest, samples: Sequence[int], watch: Watch
    ) -> Iterator[tuple[Sequence[int], Batch]]:
        """Batch by batch, when it is done: its sample numbers, and their images float32 `[B, C, H, W]`."""

    def close(self) -> None:
        """Frees the device memory that the loop holds."""


@runtime_checkable
class Engine(Protocol):
    """A denoiser with the card of its model and a lifetime; a context manager that closes at its end.

    A new engine inherits from it, sets `card` and defines `__call__`; the rest has defaults.
    """

    card: ModelCard
    loop: Loop | None = None  # the engine's own loop, which runs every request whose steps the host does not steer
    one_time: bool = False  # whether the network takes one t for all images of a call

    def __call__(
        self, x: Batch, t: Times, y: NDArray[np.int64] | None = None, inputs: Inputs | None = None, /
    ) -> Batch:
        """The network's output for x float32 `[B, C, ...]` and t `[B]`, int64, or float64 where t is fractional.

        A class-conditional network takes a label for each image, int64 `[B]`; `inputs` are the values of the card's
        named inputs, each `[B, ...]`. The output is float32 `[B, C, ...]`, or `[B, 2 C, ...]` if the network learned
        the variance. An engine of a file raises ValueError for arguments that do not fit its model.
        """

    def whole_times(self) -> bool:
        """Whether the network takes t as an integer."""
        return False

    def model_sha256(self) -> str:
        """SHA-256 of the file that the engine was opened from; empty if there is none."""
        return ""

    def model_path(self) -> Path | None:
        """The file that the engine was opened from, if there is one."""
        return None

    def close(self) -> None:
        """Frees what the engine holds. A second call does nothing."""
        return None

    def __enter__(self: Own) -> Own:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class CallableEngine(Engine):
    """A bare callable with a card, `(x, t) -> out`, `(x, t, y) -> out` or `(x, t, y, inputs) -> out`, as an engine."""

    def __init__(self, denoise: Any) -> None:
        self._denoise, self.card = denoise, denoise.card

    def __call__(
        self, x: Batch, t: Times, y: NDArray[np.int64] | None = None, inputs: Inputs | None = None, /
    ) -> Batch:
        out: Batch = self._denoise(x, t, *arguments_of(y, inputs))
        return out


def as_engine(denoise: Any) -> Engine:
    """`denoise` if it is an engine already, else the callable with a card as one. Raises ValueError for all else."""
    if not (callable(denoise) and hasattr(denoise, "card")):
        raise ValueError(f"a model is a path, an open engine, or a callable with a card, not {quoted(denoise)}")
    return denoise if isinstance(denoise, Engine) else CallableEngine(denoise)


class CallArguments(NamedTuple):
    """The arguments of `Engine.__call__` as arrays that fit the model."""

    x: Batch
    t: Times
    y: NDArray[np.int64] | None
    inputs: Inputs


def call_arguments(
    card: ModelCard, x: Batch, t: Times, y: NDArray[np.int64] | None, inputs: Inputs | None
) -> CallArguments:
    """The arguments of a call in the types that engines take; arrays that have them are not copied.

    Raises ValueError for what does not fit: engines broadcast some of it, and count negative indices from the end.
    """
    x = _array("x", x, "fiu")
    _check_shape("x", x, card.image_shape)
    t = _array("t", t, "fiu", len(x))
    if card.process is None:
        _check_range("timesteps", t, len(card.betas))
    if (y is None) == ("y" in card.names):
        needs = "needs y, a label for each image" if y is None else "is unconditional; leave out y"
        raise ValueError(f"the model {needs}")
    if y is not None:
        y = _array("y", y, "iu", len(x)).astype(np.int64, copy=False)
        _check_range("labels", y, card.classes or 0)
    given = inputs or {}
    if given.keys() != card.inputs.keys():
        raise ValueError(f"inputs must be {', '.join(card.inputs) or 'none'}, not {', '.join(map(quoted, given))}")
    shaped = {name: _array(f"input {name}", value, "fiub", len(x)) for name, value in given.items()}
    for name, value in shaped.items():
        _check_shape(f"input {name}", value, card.inputs[name].shape)
    typed = {name: value.astype(card.inputs[name].dtype, copy=False) for name, value in shaped.items()}
    return CallArguments(x.astype(np.float32, copy=False), t, y, typed)


def _array(name: str, value: Any, kinds: str, count: int | None = None) -> NDArray[Any]:
    """`value` as an array of numbers of these kinds, with an entry for each of `count` images."""
    array = as_array(f"{name} is", value, kinds, "numbers" if "f" in kinds else "integers")
    if count is not None and (not array.ndim or len(array) != count):
        raise ValueError(f"{name} is {list(array.shape)} but must have one entry for each of {count} images")
    return array


def _check_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raises ValueError unless the array is `[B, *shape]`, of at least one image."""
    if array.shape[1:] != shape or not len(array):
        wanted = ", ".join(map(str, ("B", *shape)))
        raise ValueError(f"{name} is {list(array.shape)} but must be [{wanted}]")


def _check_range(name: str, values: NDArray[Any], end: int) -> None:
    """Raises ValueError unless values `[B]` are in [0, end). A list is faster than NumPy where B is small."""
    if values.ndim != 1:
        raise ValueError(f"{name} have the shape {list(values.shape)} but must have [{len(values)}]")
    listed = values.tolist()
    if not (min(listed) >= 0 and max(listed) < end):  # of NaN neither holds
        raise ValueError(f"{name} must lie in [0, {end}), not {quoted(listed)}")
