"""Reads images and masks from files into the arrays that the network needs."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.array_file import read_array
from ..artifacts.card import ModelCard
from ..denoiser import Batch
from ..numbers import check_range
from ..text import quoted
from .picture_file import read_pixels, resized

MODES = {1: "L", 3: "RGB"}  # number of channels: Pillow's mode
WHITE = 128  # mask pixels of at least this value are redrawn


def load_images(path: Path, shape: tuple[int, ...], *, resize: bool = False, is_latent: bool = False) -> Batch:
    """Read a picture as float32 `[1, C, H, W]` in [-1, 1], which is bytes / 127.5 - 1, or an .npy file unchanged.

    An .npy file may hold one image or several. Palettes and grey pictures are converted to the model's channels.
    `resize` resizes a picture of another size with a Lanczos filter. Raises DdpmRtError for an unreadable file,
    ValueError for a size or channels other than the model's.
    """
    if path.suffix.lower() == ".npy":
        images = load_array(path, shape)
        if not is_latent:  # latents have any scale
            check_range(f"{path} has", images)
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


def load_input(card: ModelCard, name: str, path: Path, *, resize: bool = False) -> NDArray[Any] | float:
    """Read a value of a named input of a model: an .npy file unchanged as float64, or a picture in [-1, 1].

    Raises as `load_images` does. A name that the model lacks gives 0.0, because `Request.bind` refuses it.
    """
    if path.suffix.lower() == ".npy":
        return read_array(path, np.float64)
    if name not in card.conditions:
        return 0.0
    shape = card.conditions[name].shape
    if len(shape) != 3 or shape[0] not in MODES:
        wanted = "a number or an .npy" if not shape else f"an .npy of {list(shape)}"
        raise ValueError(f"input {quoted(name)} takes {wanted}, not {path}")
    picture: NDArray[Any] = load_images(path, shape, resize=resize)[0]
    return picture


def load_array(path: Path, shape: tuple[int, ...]) -> Batch:
    """Read an .npy file as float32 `[N, C, ...]`. Raises as `load_images` does."""
    images = read_array(path, np.float32)
    if images.ndim not in (len(shape), len(shape) + 1) or images.shape[-len(shape) :] != shape or not images.size:
        raise ValueError(f"{path} is {quoted(list(images.shape))} but the model draws {list(shape)}")
    return images.reshape(-1, *shape)


def load_mask(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Read a picture as a mask, bool `[H, W]`: white is redrawn, black is kept. Raises as `load_images` does."""
    if len(shape) != 3:
        raise ValueError(f"the model draws {list(shape)}, which no picture can mask")
    pixels = read_pixels(path, "L")
    if pixels.shape != shape[1:]:
        raise ValueError(_other_size(path, pixels.shape, shape[1:]))
    return np.asarray(pixels >= WHITE, np.bool_)


def _other_size(path: Path, found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    sizes = (f"{width} x {height}" for height, width in (found, wanted))
    return "{} is {} but the model draws {}; resize it first".format(path, *sizes)
