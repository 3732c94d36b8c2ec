"""Whether the network in a plan is the one that its card describes."""

from typing import Any

from ..artifacts.card import ModelCard
from ..artifacts.plan_record import PlanRecord
from ..denoiser import TIME_KINDS

NUMBER_TYPES = {"x": ("FLOAT",), "t": tuple(kind.tensorrt for kind in TIME_KINDS), "y": ("INT64",), "out": ("FLOAT",)}


def first_sides(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """Input name to its shape without the batch."""
    sides = {"x": card.image_shape, "t": (), "y": ()}
    return {name: sides[key] for key, name in card.names.items() if key != "out"}


def network_fault(trt: Any, engine: Any, record: PlanRecord) -> str:
    """The first difference between an ICudaEngine and its record, as text; empty if there is none.

    Compared are the network's name, the names, directions, types and shapes of its tensors, and the number of profiles.
    """
    card = record.card
    names = {engine.get_tensor_name(index) for index in range(engine.num_io_tensors)}
    faults = [f"the network in it is called {engine.name!r}"] if engine.name != record.name else []
    if names != set(card.names.values()):
        faults.append(f"its tensors are {sorted(names)}, the card's {sorted(card.names.values())}")
    if engine.num_optimization_profiles != len(record.build.profiles):
        faults.append(f"it has {engine.num_optimization_profiles} profiles, on record are {len(record.build.profiles)}")
    if not faults:
        faults = [fault for key in card.names if (fault := tensor_fault(trt, engine, card, key))]
    return next(iter(faults), "")


def tensor_fault(trt: Any, engine: Any, card: ModelCard, key: str) -> str:
    """The first fault of one tensor, as text; empty if there is none."""
    name = card.names[key]
    mode = trt.TensorIOMode.OUTPUT if key == "out" else trt.TensorIOMode.INPUT
    if engine.get_tensor_mode(name) != mode or engine.get_tensor_location(name) != trt.TensorLocation.DEVICE:
        return f"{name!r} is not {'an output' if key == 'out' else 'an input'} on the device"
    kind = engine.get_tensor_dtype(name).name
    if kind not in NUMBER_TYPES[key]:
        return f"{name!r} is of type {kind}, not {' or '.join(NUMBER_TYPES[key])}"
    channels, height, width = card.image_shape
    channels = card.output_channels if key == "out" else channels
    sides = (channels, height, width) if key in ("x", "out") else ()
    shape = tuple(engine.get_tensor_shape(name))
    if key == "t" and shape == ():
        return ""
    if len(shape) != len(sides) + 1 or any(one not in (-1, other) for one, other in zip(shape[1:], sides, strict=True)):
        return f"{name!r} is {list(shape)}, and by the card {['batch', *sides]}"
    return ""
