"""A single file of weights: what `torch.save` wrote, or safetensors; every tensor in it, under one name."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddpm_ref.errors import CheckpointError
from ddpm_ref.text import quoted
from ddpm_ref.weights_file import load_weights_file

Weights = Mapping[str, Tensor]
# Bounds, well above any checkpoint: what is beyond them is damaged, or meant to harm.
MAX_TENSORS, MAX_NAME, MAX_DEPTH = 1 << 17, 1 << 10, 16
OPTIMIZER = {"state", "param_groups"}  # the keys of what an optimizer of PyTorch saves of itself


def read_state(path: Path) -> dict[str, Tensor]:
    """The tensors by name; a dictionary or list inside another gives its names a prefix: `ema.out.2.weight`.

    What an optimizer keeps of itself is left out. Raises CheckpointError, also for a pickle with more than tensors and
    plain values in it: it can run code.
    """
    content: Any = load_weights_file(path)
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{path} holds no state dict, but {type(content).__name__}")
    if content.keys() >= OPTIMIZER:
        raise CheckpointError(f"{path} is the state of an optimizer, not of a network; name the file with the weights")
    found: dict[str, Tensor] = {}
    for name, tensor in _tensors(content, path, "", 0):
        if name in found:
            raise CheckpointError(f"{path} holds {quoted(name)} twice")
        if len(found) >= MAX_TENSORS or len(name) > MAX_NAME:
            raise CheckpointError(f"{path} holds more than {MAX_TENSORS} tensors, or a name of over {MAX_NAME} letters")
        found[name] = _checked(path, name, tensor)
    if not found:
        kinds = ", ".join(f"{quoted(key)} ({type(value).__name__})" for key, value in list(content.items())[:4])
        raise CheckpointError(f"{path} holds no state dict: no tensors by name, but {kinds}")
    return found


def _tensors(content: Mapping[Any, Any], path: Path, prefix: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a dictionary and of what is inside it, but for an optimizer's."""
    if depth > MAX_DEPTH:
        raise CheckpointError(f"{path} is nested more than {MAX_DEPTH} deep")
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value.detach()
        elif isinstance(value, list | tuple):
            yield from _tensors(dict(enumerate(value)), path, f"{prefix}{key}.", depth + 1)
        elif isinstance(value, Mapping) and not value.keys() >= OPTIMIZER:
            yield from _tensors(value, path, f"{prefix}{key}.", depth + 1)


def _checked(path: Path, name: str, tensor: Tensor) -> Tensor:
    """The tensor. Raises CheckpointError unless the file has a number for each of its elements."""
    plain = tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
    if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise CheckpointError(f"{path}: {quoted(name)} is sparse, quantised, or a view of fewer numbers than it has")
    return tensor


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
    after = {rest[0] for name in weights if (rest := _after(name, prefix))}
    numbers = {int(text) for text in after if text.isascii() and text.isdecimal() and len(text) < 6}
    missing = next(number for number in range(len(numbers) + 1) if number not in numbers)
    if missing < len(numbers):
        raise CheckpointError(f"{path}: there is no weight under '{prefix}.{missing}', but there is after it")
    return len(numbers)


def _after(name: str, prefix: str) -> list[str]:
    return name.removeprefix(prefix + ".").split(".") if name.startswith(prefix + ".") else []
