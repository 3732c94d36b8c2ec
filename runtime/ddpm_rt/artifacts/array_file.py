"""`.npy` files: read within limits, and written batch by batch."""

import math
import re
import warnings
from collections.abc import Callable
from io import BufferedReader
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import DdpmRtError
from .atomic_write import replace_file
from .bounded_read import failure, open_regular, size_of

HEADER_BYTES = 10_000  # NumPy's own limit
NUMBERS = re.compile(r"[<>|=]?(f2|f4|f8|[iu][1248]|b1)")  # types of plain numbers
MAX_NUMBERS = 1 << 27  # most numbers of one file: 512 MiB of float32
CHUNK = 1 << 20  # numbers that are converted at once
ADVICE = "write it with numpy.save"

Append = Callable[[NDArray[np.float32]], object]


def read_array(path: Path, dtype: type[np.floating[Any]], *, limit: int = MAX_NUMBERS) -> NDArray[Any]:
    """Read an `.npy` file of any number type, byte order and layout as a C-ordered array of `dtype`.

    Objects are never unpickled. The shape is checked against the size of the file before memory is allocated. Values
    beyond the range of `dtype` become infinite. Raises DdpmRtError unless the file holds one complete array of numbers.
    """
    with open_regular(path, ADVICE) as file:
        try:
            shape, fortran, stored = read_header(file)
            count = math.prod(shape)
            if count > limit:
                raise ValueError(f"{count:.3g} numbers are more than the limit of {limit}")
            if count * stored.itemsize != size_of(file) - file.tell():
                raise ValueError("the size of the file does not match its shape")
            flat = _read_numbers(file, count, stored, dtype)
        except (ValueError, OSError, MemoryError) as error:
            raise failure(path, f"cannot be read as an array of numbers: {error}", ADVICE) from error
    if fortran:
        return np.ascontiguousarray(flat.reshape(shape[::-1]).T)
    return flat.reshape(shape)


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape, whether the order is Fortran, and the type of an `.npy`, read up to its numbers. Raises ValueError."""
    try:
        version = np.lib.format.read_magic(file)
        readers: dict[tuple[int, int], Any] = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        if version not in readers:
            raise ValueError(f"version {version} of the format is not supported")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns about headers of Python 2
            shape, fortran, stored = readers[version](file, max_header_size=HEADER_BYTES)
    except Exception as error:  # a damaged header raises errors of many kinds
        raise ValueError("damaged header") from error
    if not NUMBERS.fullmatch(stored.str) or stored.shape:
        raise ValueError(f"the type {stored.str[:20]} is not a plain number type")
    if any(type(side) is not int or side < 0 for side in shape):
        raise ValueError("the shape is not made of counts")
    return shape, bool(fortran), stored


def _read_numbers(
    file: BufferedReader, count: int, stored: np.dtype[Any], dtype: type[np.floating[Any]]
) -> NDArray[Any]:
    flat = np.empty(count, dtype)
    with np.errstate(over="ignore"):
        for start in range(0, count, CHUNK):
            size = min(CHUNK, count - start)
            content = file.read(size * stored.itemsize)
            if len(content) != size * stored.itemsize:
                raise ValueError("the file ends before its array does")
            flat[start : start + size] = np.frombuffer(content, stored)
    return flat


def write_array(path: Path, shape: tuple[int, ...], fill: Callable[[Append], object]) -> None:
    """Atomically write a float32 `.npy` of `shape` from the parts that `fill` appends. Only one part is in memory.

    The bytes are equal to those of `numpy.save`. A memory map is not used, because a full disk would then end the
    process without a message. Raises DdpmRtError if writing fails, or if `fill` appends too few or too many values.
    """

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            header = {"descr": "<f4", "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_1_0(file, header)
            begin = file.tell()
            fill(lambda part: file.write(np.ascontiguousarray(part, "<f4").data.cast("B")))
            if file.tell() - begin != 4 * math.prod(shape):
                raise DdpmRtError(f"{path} was not written: the number of samples differs from the request")

    replace_file(path, write)
