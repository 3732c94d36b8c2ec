"""Whether the network in a plan is the one that its card describes."""

from typing import Any, NamedTuple

from ..artifacts.card import ModelCard
from ..artifacts.plan_record import PlanRecord
from ..denoiser import TIME_KINDS

NUMBER_TYPES = {"x": ("FLOAT",), "t": tuple(kind.tensorrt for kind in TIME_KINDS), "y": ("INT64",), "out": ("FLOAT",)}
INPUT_TYPES = {"float32": "FLOAT", "int64": "INT64", "int32": "INT32"}  # of named inputs


def first_sides(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """Input name to its shape without the batch."""
    sides = {"x": card.image_shape, "t": (), "y": ()}
    known = {name: sides[key] for key, name in card.names.items() if key != "out"}
    return known | {name: facts.shape for name, facts in card.inputs.items()}


def network_fault(trt: Any, engine: Any, record: PlanRecord) -> str:
    """The first difference between an ICudaEngine and its record, as text; empty if there is none.

    Compared are the network's name, the names, directions, types and shapes of its tensors, and the number of profiles.
    """
    card = record.card
    names = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
    faults = [f"the network in it is called {engine.name!r}"] if engine.name != record.name else []
    known = {*card.names.values(), *card.inputs}
    if names != known:
        faults.append(f"its tensors are {sorted(names)}, the card's {sorted(known)}")
    if engine.num_optimization_profiles != len(record.build.profiles):
        faults.append(f"it has {engine.num_optimization_profiles} profiles, on record are {len(record.build.profiles)}")
    if not faults:
        tensors = _tensors(card)
        faults = [fault for name in tensors if (fault := tensor_fault(trt, engine, name, tensors[name]))]
    return next(iter(faults), "")


class _Tensor(NamedTuple):
    """What a tensor must be."""

    key: str  # x, t, y, out, or input
    types: tuple[str, ...]  # TensorRT's
    sides: tuple[int, ...]  # after the batch


def _tensors(card: ModelCard) -> dict[str, _Tensor]:
    """The tensors of a card, by name."""
    sides = {"x": card.image_shape, "out": (card.output_channels, *card.image_shape[1:])}
    known = {name: _Tensor(key, NUMBER_TYPES[key], sides.get(key, ())) for key, name in card.names.items()}
    if card.process is not None:
        known[card.names["t"]] = _Tensor("t", ("FLOAT",), ())
    more = {name: _Tensor("input", (INPUT_TYPES[one.dtype],), one.shape) for name, one in card.inputs.items()}
    return known | more


def tensor_fault(trt: Any, engine: Any, name: str, tensor: _Tensor) -> str:
    """The first fault of one tensor, as text; empty if there is none."""
    key, types, sides = tensor
    mode = trt.TensorIOMode.OUTPUT if key == "out" else trt.TensorIOMode.INPUT
    if engine.get_tensor_mode(name) != mode or engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
        return f"{name!r} is not {'an output' if key == 'out' else 'an input'} on the device"
    kind = engine.get_tensor_dtype(name).name
    if kind not in types:
        return f"{name!r} is of type {kind}, not {' or '.join(types)}"
    shape = tuple(engine.get_tensor_shape(name))
    if key == "t" and shape == ():
        return ""
    if len(shape) != len(sides) + 1 or any(one not in (-1, other) for one, other in zip(shape[1:], sides, strict=True)):
        return f"{name!r} is {list(shape)}, and by the card {['batch', *sides]}"
    return ""
