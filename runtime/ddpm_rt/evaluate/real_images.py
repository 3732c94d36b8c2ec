"""A data set of real images: an `.npz`, an `.npy`, or a folder of pictures."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..artifacts.array_archive import read_byte_array
from ..errors import DdpmRtError
from ..images.read import MODES, load_images
from ..images.write import to_pixels

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff")
MAX_FILES = 10_000_000

Pixels = NDArray[np.uint8]  # [N, H, W, C]


@dataclass(frozen=True, eq=False)
class RealImages:
    """Images of one shape, in memory or as files; `read` gives any of them."""

    name: str
    shape: tuple[int, int, int]  # C, H, W
    pixels: Pixels | None
    files: tuple[Path, ...] = ()

    def __len__(self) -> int:
        return len(self.files) if self.pixels is None else len(self.pixels)

    def read(self, numbers: Sequence[int]) -> Pixels:
        """Uint8 `[len(numbers), H, W, C]`. Raises DdpmRtError, ValueError as `load_images` does."""
        if self.pixels is not None:
            return np.asarray(self.pixels[np.asarray(numbers, np.int64)], np.uint8)
        return to_pixels(np.concatenate([load_images(self.files[number], self.shape) for number in numbers]))

    @classmethod
    def open(cls, path: Path, shape: tuple[int, int, int], array: str | None = None) -> "RealImages":
        """The images at `path`, which must be those that a model of image shape C, H, W draws.

        Raises DdpmRtError for a file that cannot be read, ValueError for images of another shape.
        """
        if path.is_dir():
            if shape[0] not in MODES:
                raise ValueError(f"the model draws {shape[0]} channels: give the images as .npz, uint8 [N, H, W, C]")
            return cls(path.name, shape, None, _files(path))
        if path.suffix.lower() == ".npy":
            return cls(path.name, shape, to_pixels(load_images(path, shape)))
        channels, height, width = shape
        pixels = read_byte_array(path, array)
        if pixels.ndim == 3 and channels == 1:
            pixels = pixels[..., None]
        if pixels.ndim != 4 or pixels.shape[1:] != (height, width, channels) or not len(pixels):
            wanted = f"[N, {height}, {width}, {channels}]"
            raise ValueError(f"{path} is {list(pixels.shape)[:5]}; the model draws images {wanted}")
        return cls(path.name, shape, pixels)


def _files(folder: Path) -> tuple[Path, ...]:
    """All pictures below a folder, in the order of their names. Raises DdpmRtError without any."""
    found: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders.sort()
        found += [Path(place) / name for name in sorted(names) if name.lower().endswith(SUFFIXES)]
        if len(found) > MAX_FILES:
            raise DdpmRtError(f"{folder} has more than {MAX_FILES} pictures")
    if not found:
        raise DdpmRtError(f"{folder} has no pictures ({', '.join(SUFFIXES)})")
    return tuple(found)
