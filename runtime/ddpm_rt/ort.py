"""A denoiser in ONNX Runtime, on the CPU; and what an ONNX file with a card must be, on whatever it runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .card import METADATA_KEY, ModelCard
from .denoiser import Batch, Times
from .errors import DdpmRtError
from .onnx_card import check_file, find_onnx_card, no_card

REINSTALL = "pip uninstall onnxruntime onnxruntime-gpu, then pip install one of 'ddpm-rt[cpu]' and 'ddpm-rt[gpu]'"
TIME_TYPES: dict[str, type[Any]] = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(float)": np.float32}
DAMAGED = ("INVALID_PROTOBUF", "No graph was found")  # what ONNX Runtime says of text, a part of a file, and nothing


@dataclass(frozen=True)
class Signature:
    """What the inputs of an ONNX file with a card are."""

    card: ModelCard
    static_batch: int | None  # the batch that the graph is fixed to
    time_type: type[Any]  # int64, int32 or float32
    time_shape: tuple[int, ...] | None  # of a t that is one number for all images: () or (1,); None: one an image

    @property
    def one_time(self) -> bool:
        """Whether t is one number for all images."""
        return self.time_shape is not None


def read_signature(session: Any, path: Path) -> Signature:
    """Raises DdpmRtError unless the session has a card, and the inputs and the output that the card describes."""
    text = session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
    if text is None:
        raise no_card(path)
    card = ModelCard.from_json(text, source=str(path))
    inputs = {tensor.name: tensor for tensor in session.get_inputs()}
    _check_inputs(path, card, {name: tensor.type for name, tensor in inputs.items()})
    batch = _checked_batch(path, card, inputs[card.names["x"]].shape, session.get_outputs())
    time = inputs[card.names["t"]]
    shape = _time_shape(path, card.names["t"], list(time.shape), batch)
    if "y" in card.names:
        labels = list(inputs[card.names["y"]].shape)
        if len(labels) != 1 or (isinstance(labels[0], int) and labels[0] != batch):
            raise DdpmRtError(f"{path}: {card.names['y']} is {labels}; it must be [batch], a label for each image")
    return Signature(card, batch, TIME_TYPES[time.type], shape)


def _time_shape(path: Path, name: str, shape: list[int | str], batch: int | None) -> tuple[int, ...] | None:
    """The shape of a t that is one number for all images, or None. Raises DdpmRtError for any other than a list."""
    if not shape:
        return ()
    if len(shape) == 1 and (not isinstance(shape[0], int) or shape[0] == batch):
        return None
    if shape == [1]:
        return (1,)
    raise DdpmRtError(f"{path}: {name} is {shape}; it must be a number, [1], or [batch]: a timestep for each image")


def _check_inputs(path: Path, card: ModelCard, found: dict[str, str]) -> None:
    """Raises DdpmRtError unless the graph's inputs are those that the card names, of types that are known."""
    names = card.names
    known = {names["x"]: ["tensor(float)"], names["t"]: list(TIME_TYPES)}
    known |= {names["y"]: ["tensor(int64)"]} if "y" in names else {}
    if found.keys() != known.keys() or any(found[name] not in types for name, types in known.items()):
        y = f", {names['y']} (int64)" if "y" in names else ""
        wanted = f"{names['x']} (float32), {names['t']} (int64, int32 or float32){y}"
        raise DdpmRtError(f"{path}: inputs must be {wanted}, not {found}")


def _checked_batch(path: Path, card: ModelCard, shape: list[int | str], outputs: list[Any]) -> int | None:
    """The batch that the graph is fixed to, or None. Raises DdpmRtError when images and card disagree."""
    output, expected = card.names["out"], card.image_shape
    if [tensor.name for tensor in outputs] != [output]:
        raise DdpmRtError(f"{path}: there must be one output, {output!r}")
    batch, *image = shape
    if tuple(image) != expected:
        raise DdpmRtError(f"{path}: x is {image} but the card says {list(expected)}")
    channels = card.output_channels
    found = outputs[0].shape[1:2]
    if isinstance(found[0] if found else None, int) and found != [channels]:
        raise DdpmRtError(f"{path}: out has {found[0]} channels, but with variance {card.variance} it has {channels}")
    return batch if isinstance(batch, int) else None


class OrtDenoiser:
    """`out = denoiser(x, t)` for an ONNX file with a card inside; `denoiser(x, t, y)` if it is class-conditional.

    x float32 `[B, C, H, W]`, t and y int64 `[B]`, out float32 like x, of twice the channels if the variance is learned;
    any B, a file of static batch being called as often as it takes. The graph's own t may be int64, int32 or float32,
    one an image or one for all (a number, or [1]). `threads` are those inside one operation, all cores by default.
    Raises DdpmRtError when the file is not such a model.
    """

    def __init__(self, path: Path | str, *, threads: int | None = None) -> None:
        self.path = Path(path)
        self.session = open_session(self.path, threads)
        known = read_signature(self.session, self.path)
        self.card, self.static_batch = known.card, known.static_batch
        self.time_type, self.one_time, self._time_shape = known.time_type, known.one_time, known.time_shape

    def __call__(self, x: Batch, t: Times, y: NDArray[np.int64] | None = None, /) -> Batch:
        if self.static_batch is None or len(x) == self.static_batch:
            return self._run(x, t, y)
        size, parts = self.static_batch, []
        for first in range(0, len(x), size):
            # the last call is filled up with copies of the last image
            filled = np.minimum(np.arange(first, first + size), len(x) - 1)
            out = self._run(x[filled], t[filled], None if y is None else y[filled])
            parts.append(out[: len(x) - first])
        return np.concatenate(parts)

    def _run(self, x: Batch, t: Times, y: NDArray[np.int64] | None = None) -> Batch:
        names = self.card.names
        if self.one_time and (t != t[0]).any():
            raise ValueError(f"{self.path} takes one t for all images, not {t.tolist()}")
        times = t.astype(self.time_type, copy=False)
        inputs = {names["x"]: x, names["t"]: times if self._time_shape is None else times[:1].reshape(self._time_shape)}
        if y is not None:
            inputs[names["y"]] = y
        out: Batch = self.session.run(None, inputs)[0]
        return out


def onnx_runtime() -> Any:
    """The module onnxruntime. Raises DdpmRtError where only pieces of it are left."""
    import onnxruntime

    if not hasattr(onnxruntime, "InferenceSession"):  # onnxruntime and onnxruntime-gpu share their files
        raise DdpmRtError(f"the onnxruntime here is in pieces: {REINSTALL}")
    return onnxruntime


def open_session(path: Path, threads: int | None = None) -> Any:
    """An onnxruntime.InferenceSession on the CPU. Raises DdpmRtError when the file is missing, damaged, or in bf16."""
    check_file(path)
    onnxruntime = onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it would log is in the exception as well
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class of their own
        card = find_onnx_card(path)
        if card is not None and card.precision == "bf16":
            raise DdpmRtError(
                f"{path} is in bf16, in which ONNX Runtime has no convolution on the CPU; export it with --precision "
                "fp16 or fp32 for the CPU, bf16 is for TensorRT plans (`ddpm-rt build`)"
            ) from error
        raise not_a_model(path, error) from error


def not_a_model(path: Path, error: Exception) -> DdpmRtError:
    """What to raise when ONNX Runtime does not open a file."""
    reason = (str(error).splitlines() or [type(error).__name__])[0]
    if any(sign in reason for sign in DAMAGED):
        return DdpmRtError(f"{path} is not a whole ONNX model ({reason}); export the model again")
    return DdpmRtError(f"{path} is not a whole ONNX model, or one that ONNX Runtime cannot run: {reason}")
