"""Arrays of a caller's numbers."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

IMAGE_RANGE = (-1.0, 1.0)  # the clip of a model of images; one without a clip may draw anything
LARGEST = 2.0  # largest value of an image: a chain without clipping slightly exceeds [-1, 1], bytes do by far


def as_array(said: str, value: Any, kinds: str, wanted: str) -> NDArray[Any]:
    """`value` as an array: that of any library, nested lists, or a number.

    Raises ValueError, which starts with `said` and names what is `wanted`, for a dtype that is of none of `kinds`.
    """
    try:
        array = np.asarray(value)
    except Exception as error:  # lists of different lengths, and the errors of other libraries' arrays
        raise ValueError(f"{said} no array: {error}") from error
    if array.dtype.kind not in kinds:
        raise ValueError(f"{said} of type {array.dtype}, but must be of {wanted}")
    return array


def as_numbers(said: str, value: Any) -> NDArray[Any]:
    """`value` as an array of integers, floats or booleans.

    Raises ValueError, which starts with `said`, for anything else, such as text, complex numbers, dates or arrays with
    masked values. NumPy would turn most of these into numbers that nobody meant.
    """
    array = as_array(said, value, "iufb", "finite numbers")
    if np.ma.is_masked(value):
        raise ValueError(f"{said} masked in part; fill the masked values, for example with filled(0)")
    return array


def as_float32(said: str, value: Any) -> NDArray[np.float32]:
    """`as_numbers` in float32. Raises ValueError for numbers that are not finite in float32, too."""
    with np.errstate(over="ignore"):
        array = as_numbers(said, value).astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{said} not finite everywhere in float32")
    return array


def check_range(said: str, images: NDArray[np.float32]) -> None:
    """Raises ValueError, which starts with `said`, for bytes: their images are in [0, 255], and ours in [-1, 1]."""
    if (largest := float(np.maximum(images.max(), -images.min()))) > LARGEST:
        raise ValueError(f"{said} values up to {largest:g}; scale images to [-1, 1] with bytes / 127.5 - 1")
