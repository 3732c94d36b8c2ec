"""The inputs and the output that an ONNX file with a card must have, for every provider."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts.card import ModelCard
from ..artifacts.fused_chain import is_fused, not_a_network
from ..denoiser import TIME_KINDS
from ..errors import DdpmRtError
from ..limits import MAX_BATCH

TIME_TYPES: dict[str, type[Any]] = {kind.onnx: kind.dtype.type for kind in TIME_KINDS}
INPUT_TYPES = {"float32": "tensor(float)", "int64": "tensor(int64)", "int32": "tensor(int32)"}  # of named inputs


@dataclass(frozen=True)
class Signature:
    """The inputs of an ONNX file with a card."""

    card: ModelCard
    static_batch: int | None  # the fixed batch of the graph, or None
    time_type: type[Any]  # int64, int32 or float32
    time_shape: tuple[int, ...] | None  # of a t that is one number for all images, () or (1,); None: one for each image

    @property
    def whole_times(self) -> bool:
        """Whether t is an integer."""
        return self.time_type is not np.float32

    @property
    def one_time(self) -> bool:
        """Whether t is one number for all images."""
        return self.time_shape is not None


def read_signature(session: Any, path: Path, card: ModelCard) -> Signature:
    """The signature. Raises DdpmRtError unless the session has the tensors that the card of `path` names."""
    inputs = {tensor.name: tensor for tensor in session.get_inputs()}
    _check_inputs(path, card, {name: tensor.type for name, tensor in inputs.items()})
    batch = _checked_batch(path, card, inputs[card.names["x"]].shape, session.get_outputs())
    time = inputs[card.names["t"]]
    shape = _time_shape(path, card.names["t"], list(time.shape), batch)
    if "y" in card.names:
        labels = list(inputs[card.names["y"]].shape)
        if len(labels) != 1 or (isinstance(labels[0], int) and labels[0] != batch):
            raise DdpmRtError(f"{path}: {card.names['y']} is {labels}; it must be [batch], a label for each image")
    for name, facts in card.inputs.items():
        first, *sides = inputs[name].shape or [None]
        if tuple(sides) != facts.shape or first is None or (isinstance(first, int) and first != batch):
            raise DdpmRtError(f"{path}: {name} is {list(inputs[name].shape)}, not {['batch', *facts.shape]}")
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
    """Raises DdpmRtError unless the graph's inputs have the card's names and supported types."""
    names = card.names
    known = {names["x"]: ["tensor(float)"], names["t"]: list(TIME_TYPES)}
    known |= {names["y"]: ["tensor(int64)"]} if "y" in names else {}
    known |= {name: [INPUT_TYPES[facts.dtype]] for name, facts in card.inputs.items()}
    if card.process is not None and found.get(names["t"]) not in (None, "tensor(float)"):
        raise DdpmRtError(f"{path}: {names['t']} must be float32, because its {card.process.kind} is no integer")
    if found.keys() != known.keys() or any(found[name] not in types for name, types in known.items()):
        if is_fused(path):
            raise not_a_network(path)
        y = f", {names['y']} (int64)" if "y" in names else ""
        more = "".join(f", {name} ({facts.dtype})" for name, facts in card.inputs.items())
        wanted = f"{names['x']} (float32), {names['t']} (int64, int32 or float32){y}{more}"
        raise DdpmRtError(f"{path}: inputs must be {wanted}, not {found}")


def _checked_batch(path: Path, card: ModelCard, shape: list[int | str], outputs: list[Any]) -> int | None:
    """The fixed batch of the graph, or None. Raises DdpmRtError when the graph's images contradict the card."""
    output, expected = card.names["out"], card.image_shape
    if [tensor.name for tensor in outputs] != [output]:
        raise DdpmRtError(f"{path}: there must be one output, {output!r}")
    batch, *image = shape
    if isinstance(batch, int) and not 1 <= batch <= MAX_BATCH:
        raise DdpmRtError(f"{path}: its batch is fixed to {batch}; export it with 1 to {MAX_BATCH}, or any")
    if tuple(image) != expected:
        raise DdpmRtError(f"{path}: x is {image} but the card says {list(expected)}")
    channels = card.output_channels
    found = outputs[0].shape[1:2]
    if isinstance(found[0] if found else None, int) and found != [channels]:
        raise DdpmRtError(f"{path}: out has {found[0]} channels, but with variance {card.variance} it has {channels}")
    return batch if isinstance(batch, int) else None
