"""SHA-256 of files and arrays."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bounded_read import open_regular


def array_sha256(array: NDArray[Any]) -> str:
    """SHA-256 of an array's type, shape and values."""
    header = f"{array.dtype.newbyteorder('<').str}{list(array.shape)}".encode()
    return hashlib.sha256(header + np.ascontiguousarray(array).tobytes()).hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of the bytes of a regular file. Raises DdpmRtError if the file cannot be read."""
    with open_regular(path, "make it readable, or copy it here") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file: Any) -> str:  # Python 3.10
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()
