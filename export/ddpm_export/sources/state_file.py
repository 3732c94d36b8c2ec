"""A single file of weights: a state dict by `torch.save`, or safetensors."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ddpm_ref.checkpoint import load_safetensors, load_tensors, state_dict
from ddpm_ref.errors import CheckpointError

Weights = Mapping[str, Tensor]
PARALLEL = "module."  # what DataParallel puts before every name


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors by name. Raises CheckpointError, also for a pickle with more than tensors in it: it can run code."""
    weights = load_safetensors(path) if path.suffix == ".safetensors" else state_dict(load_tensors(path), path)
    if all(name.startswith(PARALLEL) for name in weights):
        weights = {name.removeprefix(PARALLEL): tensor for name, tensor in weights.items()}
    return weights


def shape_of(weights: Weights, name: str, dims: int, path: Path) -> tuple[int, ...]:
    """The shape of a tensor that the architecture is read from. Raises CheckpointError if it is not there, or odd."""
    if name not in weights:
        raise CheckpointError(f"{path}: the weights lack {name!r}")
    shape = tuple(weights[name].shape)
    if len(shape) != dims:
        raise CheckpointError(f"{path}: {name!r} has shape {list(shape)}, not {dims} sides")
    return shape


def count(weights: Weights, prefix: str, path: Path) -> int:
    """How many blocks there are under `prefix.0`, `prefix.1` and so on. Raises CheckpointError for a gap."""
    numbers = {int(rest[0]) for name in weights if (rest := _after(name, prefix)) and rest[0].isdigit()}
    if missing := sorted(set(range(max(numbers, default=-1) + 1)) - numbers):
        raise CheckpointError(f"{path}: there is no weight under '{prefix}.{missing[0]}', but there is after it")
    return len(numbers)


def _after(name: str, prefix: str) -> list[str]:
    return name.removeprefix(prefix + ".").split(".") if name.startswith(prefix + ".") else []
