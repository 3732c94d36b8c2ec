"""Reads a weights file, written by `torch.save` or safetensors, into a flat dictionary of tensors."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ddpm_ref.errors import CheckpointError
from ddpm_ref.text import quoted
from ddpm_ref.weights_file import load_weights_file

Weights = Mapping[str, Tensor]
# Limits well above those of real checkpoints. A file beyond them is damaged or malicious.
MAX_TENSORS, MAX_NAME, MAX_DEPTH = 1 << 17, 1 << 10, 16
OPTIMIZER = {"state", "param_groups"}  # the keys in the state dict of a PyTorch optimizer


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the tensors by name. Nested dictionaries and lists become prefixes of names: `ema.out.2.weight`.

    The state of optimizers is left out. Raises CheckpointError for an unreadable file, and for a pickle with anything
    but tensors and plain values, because it can run code.
    """
    content: Any = load_weights_file(path)
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{path} contains no state dict, or an empty one ({type(content).__name__})")
    if content.keys() >= OPTIMIZER:
        raise CheckpointError(f"{path} is the state of an optimizer, not of a network; name the file with the weights")
    found: dict[str, Tensor] = {}
    for name, tensor in _tensors(content, path, "", 0):
        if name in found:
            raise CheckpointError(f"{path} contains {quoted(name)} twice")
        if len(found) >= MAX_TENSORS or len(name) > MAX_NAME:
            raise CheckpointError(f"{path} has over {MAX_TENSORS} tensors, or a name of over {MAX_NAME} characters")
        found[name] = _checked(path, name, tensor)
    if not found:
        kinds = ", ".join(f"{quoted(key)} ({type(value).__name__})" for key, value in list(content.items())[:4])
        raise CheckpointError(f"{path} contains no state dict: it has {kinds}, but no tensors")
    return found


def _tensors(content: Mapping[Any, Any], path: Path, prefix: str, depth: int) -> Iterator[tuple[str, Tensor]]:
    """The tensors of a dictionary and of nested ones, except those of optimizers."""
    if depth > MAX_DEPTH:
        raise CheckpointError(f"{path} is nested deeper than {MAX_DEPTH} levels")
    for key, value in content.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value.detach()
        elif isinstance(value, list | tuple):
            yield from _tensors(dict(enumerate(value)), path, f"{prefix}{key}.", depth + 1)
        elif isinstance(value, Mapping) and not value.keys() >= OPTIMIZER:
            yield from _tensors(value, path, f"{prefix}{key}.", depth + 1)


def _checked(path: Path, name: str, tensor: Tensor) -> Tensor:
    """The tensor itself. Raises CheckpointError unless it is dense and the file stores all of its elements."""
    plain = tensor.layout == torch.strided and not tensor.is_quantized and tensor.device.type == "cpu"
    if not plain or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise CheckpointError(f"{path}: {quoted(name)} is sparse, quantised, or an expanded view")
    return tensor


def shape_of(weights: Weights, name: str, dims: int, path: Path) -> tuple[int, ...]:
    """The shape of the weight `name`. Raises CheckpointError if it is missing or does not have `dims` dimensions."""
    if name not in weights:
        raise CheckpointError(f"{path}: the weights lack {name!r}")
    shape = tuple(weights[name].shape)
    if len(shape) != dims:
        raise CheckpointError(f"{path}: {name!r} has shape {list(shape)}, not {dims} dimensions")
    return shape


def count(weights: Weights, prefix: str, path: Path) -> int:
    """The number of blocks `prefix.0`, `prefix.1` and so on. Raises CheckpointError for a gap."""
    after = {rest[0] for name in weights if (rest := _after(name, prefix))}
    numbers = {int(text) for text in after if text.isascii() and text.isdecimal() and len(text) < 6}
    missing = next(number for number in range(len(numbers) + 1) if number not in numbers)
    if missing < len(numbers):
        raise CheckpointError(f"{path}: no weight starts with '{prefix}.{missing}', but later blocks exist")
    return len(numbers)


def _after(name: str, prefix: str) -> list[str]:
    return name.removeprefix(prefix + ".").split(".") if name.startswith(prefix + ".") else []
