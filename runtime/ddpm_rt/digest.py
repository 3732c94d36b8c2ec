"""A name for an array: what went into an image, in its text chunks."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray


def array_sha256(array: NDArray[Any]) -> str:
    """SHA-256 of an array's type, shape and values."""
    header = f"{array.dtype.newbyteorder('<').str}{list(array.shape)}".encode()
    return hashlib.sha256(header + np.ascontiguousarray(array).tobytes()).hexdigest()
