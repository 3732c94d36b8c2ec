"""Tensors of the Open Inference Protocol v2: as numbers in JSON, or as bytes behind it (the binary tensor extension).

A body with bytes is JSON of `Inference-Header-Content-Length` bytes, then the tensors in order, little-endian.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..text import quoted

TYPES: dict[str, np.dtype[Any]] = {
    **{f"UINT{bits}": np.dtype(f"<u{bits // 8}") for bits in (8, 16, 32, 64)},
    **{f"INT{bits}": np.dtype(f"<i{bits // 8}") for bits in (8, 16, 32, 64)},
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
HEADER = "Inference-Header-Content-Length"


class Body(NamedTuple):
    """A request body, split."""

    json: bytes
    tensors: bytes


def split_body(content: bytes, header_length: str | None) -> Body:
    """The two parts of a body. Raises ValueError for a length that is none of the body's."""
    if header_length is None:
        return Body(content, b"")
    if not header_length.isdecimal() or len(header_length) > 9 or int(header_length) > len(content):
        raise ValueError(f"{HEADER} must be a length within the body, not {quoted(header_length)}")
    return Body(content[: int(header_length)], content[int(header_length) :])


def read_tensors(inputs: object, content: bytes) -> dict[str, NDArray[Any]]:
    """The arrays of the inputs by name; those with `binary_data_size` are taken from `content`, in order.

    Raises ValueError for anything that is no tensor of a known type, or has other bytes or numbers than its shape.
    """
    if not isinstance(inputs, list) or not all(isinstance(entry, dict) for entry in inputs):
        raise ValueError("inputs must be a list of tensors")
    found: dict[str, NDArray[Any]] = {}
    for entry in inputs:
        name, size = entry.get("name"), _parameters(entry).get("binary_data_size")
        if not isinstance(name, str) or name in found:
            raise ValueError(f"every input needs a name of its own, not {quoted(name)}")
        if size is None:
            found[name] = _from_numbers(name, entry)
            continue
        if type(size) is not int or not 0 <= size <= len(content):
            raise ValueError(f"input {name} has {quoted(size)} bytes, more than the body")
        found[name], content = _from_bytes(name, entry, content[:size]), content[size:]
    if content:
        raise ValueError(f"{len(content)} bytes of the body belong to no input")
    return found


def _parameters(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    parameters = entry.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise ValueError(f"parameters must be an object, not {quoted(parameters)}")
    return parameters


def _kind_and_shape(name: str, entry: Mapping[str, Any]) -> tuple[np.dtype[Any], tuple[int, ...]]:
    kind, shape = entry.get("datatype"), entry.get("shape")
    if not isinstance(kind, str) or kind not in TYPES:
        raise ValueError(f"input {name} must have one of the datatypes {', '.join(TYPES)}, not {quoted(kind)}")
    if (
        not isinstance(shape, list)
        or len(shape) > 8
        or not all(type(side) is int and 0 <= side < 1 << 31 for side in shape)
    ):
        raise ValueError(f"input {name} must have a shape, a list of sizes, not {quoted(shape)}")
    return TYPES[kind], tuple(shape)


def _from_bytes(name: str, entry: Mapping[str, Any], content: bytes) -> NDArray[Any]:
    kind, shape = _kind_and_shape(name, entry)
    if len(content) != math.prod(shape) * kind.itemsize:
        raise ValueError(
            f"input {name} has {len(content)} bytes, but its shape needs {math.prod(shape) * kind.itemsize}"
        )
    return np.frombuffer(content, kind).reshape(shape)


def _from_numbers(name: str, entry: Mapping[str, Any]) -> NDArray[Any]:
    kind, shape = _kind_and_shape(name, entry)
    numbers = list(_flat(entry.get("data")))
    if len(numbers) != math.prod(shape):
        raise ValueError(f"input {name} has {len(numbers)} numbers, but its shape needs {math.prod(shape)}")
    allowed = (int,) if kind.kind in "iu" else (int, float)
    if wrong := [number for number in numbers if type(number) not in allowed]:
        raise ValueError(f"input {name} must hold numbers of its datatype, not {quoted(wrong[0])}")
    try:
        return np.array(numbers, kind).reshape(shape)
    except OverflowError:
        raise ValueError(f"input {name} holds a number that its datatype cannot hold") from None


def _flat(data: object) -> Sequence[Any]:
    """The numbers of nested lists, in order."""
    if not isinstance(data, list):
        return [data]
    if not any(isinstance(entry, list) for entry in data):
        return data
    return [number for entry in data for number in _flat(entry)]


def tensor_facts(name: str, array: NDArray[Any]) -> dict[str, Any]:
    """An output without its numbers."""
    kind = next(name for name, known in TYPES.items() if known == array.dtype.newbyteorder("<"))
    return {"name": name, "datatype": kind, "shape": list(array.shape)}


def tensor_bytes(array: NDArray[Any]) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
