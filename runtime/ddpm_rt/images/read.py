"""Images and masks from files, as the network takes them."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..artifacts.array_file import read_array
from ..denoiser import Batch
from ..text import quoted
from .picture_file import read_pixels, resized

MODES = {1: "L", 3: "RGB"}  # Pillow's, by number of channels
WHITE = 128  # and above is drawn anew
LARGEST = 2.0  # of an image's values: a chain without a clip may leave [-1, 1] a little, bytes do by far


def load_images(path: Path, shape: tuple[int, ...], *, resize: bool = False) -> Batch:
    """A picture as float32 `[1, C, H, W]` in [-1, 1]: bytes / 127.5 - 1. An .npy is taken as it is, `[N, C, H, W]` too.

    Palettes and grey pictures are converted to the model's channels. With `resize`, a picture of another size is
    resized by Lanczos' filter. Raises DdpmRtError for a file that is none,
    ValueError for a size or channels that the model does not draw.
    """
    if path.suffix.lower() == ".npy":
        images = load_array(path, shape)
        if (largest := float(np.maximum(images.max(), -images.min()))) > LARGEST:
            raise ValueError(f"{path} has values up to {largest:g}; images lie in [-1, 1]: bytes / 127.5 - 1")
        return images
    if len(shape) != 3 or shape[0] not in MODES:
        raise ValueError(f"{list(shape)} is no picture: give {path.name} as .npy, {list(shape)} in [-1, 1]")
    channels, height, width = shape
    pixels = read_pixels(path, MODES[channels])
    if pixels.shape[:2] != (height, width):
        if not resize:
            raise ValueError(_other_size(path, pixels.shape[:2], (height, width)))
        pixels = resized(pixels, height, width)
    scaled = pixels.reshape(height, width, channels).astype(np.float32) / np.float32(127.5) - np.float32(1)
    return np.ascontiguousarray(scaled.transpose(2, 0, 1))[None]


def load_array(path: Path, shape: tuple[int, ...]) -> Batch:
    """Numbers as float32 `[N, C, H, W]`. Raises as `load_images` does."""
    images = read_array(path, np.float32)
    if images.ndim not in (len(shape), len(shape) + 1) or images.shape[-len(shape) :] != shape or not images.size:
        raise ValueError(f"{path} is {quoted(list(images.shape))} but the model draws {list(shape)}")
    return images.reshape(-1, *shape)


def load_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """A picture as bool `[H, W]`: white is to be drawn anew, black is kept. Raises as `load_images` does."""
    if len(shape) != 3:
        raise ValueError(f"the model draws {list(shape)}, which no picture can mask")
    pixels = read_pixels(path, "L")
    if pixels.shape != shape[1:]:
        raise ValueError(_other_size(path, pixels.shape, shape[1:]))
    return np.asarray(pixels >= WHITE, np.bool_)


def _other_size(path: Path, found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    sizes = (f"{width} x {height}" for height, width in (found, wanted))
    return "{} is {} but the model draws {}; resize it first".format(path, *sizes)
