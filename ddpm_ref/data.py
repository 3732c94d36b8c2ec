"""Training images: an `.npz`, a folder or zip of image files, or a Hugging Face data set, all as uint8 `[H, W, C]`."""

import hashlib
import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from .archive import Archive
from .bounded_read import PICTURE_BYTES, read_bytes
from .errors import DataError, FileError
from .text import quoted

Image = NDArray[np.uint8]  # [H, W, C]
Fit = Literal["exact", "crop"]

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # Pillow's decoders of others start programs or are untested
MAX_PIXELS = 1 << 26  # 8192 x 8192; checked before a pixel is decoded
ACCEPTED = "a folder or zip of images, an .npz of uint8 [N, H, W, C], or the name of a data set of the hub"
ARRAY_KEYS = ("train_images", "images", "x_train", "arr_0")  # in order of preference


class ImageSet(Protocol):
    """A sequence of images of one shape."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int) -> Image: ...


class ImageFiles:
    """The image files of a folder and its subfolders, or of a zip, in the order of names. Images are decoded lazily."""

    def __init__(self, path: Path, shape: tuple[int, int, int], fit: Fit) -> None:
        self.path, self.shape, self.fit = path, shape, fit
        self.zip: Archive | None = None  # opened by each worker process, which cannot share it
        try:
            found = [str(file) for file in path.rglob("*")] if path.is_dir() else zip_names(path)
        except (OSError, FileError) as error:
            raise DataError(f"{_reason(error)}; --data is {ACCEPTED}") from error
        self.names = sorted(name for name in found if _is_image(name))
        if not self.names:
            raise DataError(f"{path} contains no images ({', '.join(sorted(SUFFIXES))})")

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Image:
        name = self.names[index]
        where = name if self.path.is_dir() else f"{self.path}: {name}"
        return decode(self._read(name), where, self.shape, self.fit)

    def _read(self, name: str) -> bytes:
        try:
            if self.path.is_dir():
                return read_bytes(Path(name), PICTURE_BYTES)
            if self.zip is None:
                self.zip = Archive(self.path)
            return self.zip.read(name, PICTURE_BYTES)
        except FileError as error:
            raise DataError(str(error)) from error

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "zip": None}


class HubImages:
    """The image column of a Hugging Face data set, split `train`."""

    def __init__(self, name: str, shape: tuple[int, int, int], fit: Fit) -> None:
        from datasets import Image as ImageFeature
        from datasets import load_dataset

        self.name, self.shape, self.fit = name, shape, fit
        try:
            rows = load_dataset(name, split="train")
        except Exception as error:  # the library raises errors of many kinds
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(f"{name} is neither a file, a folder nor a data set of the hub: {reason}") from error
        columns = [key for key, feature in rows.features.items() if isinstance(feature, ImageFeature)]
        if not columns:
            raise DataError(f"data set {name} has no image column")
        self.column, self.rows = columns[0], rows.cast_column(columns[0], ImageFeature(decode=False))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Image:
        cell = self.rows[index][self.column]
        data = cell["bytes"] if cell["bytes"] is not None else read_bytes(Path(cell["path"]), PICTURE_BYTES)
        return decode(data, f"{self.name}[{index}]", self.shape, self.fit)


def zip_names(path: Path) -> list[str]:
    """The names in a zip. Raises FileError."""
    with Archive(path) as archive:
        return archive.names()


def open_images(path: str, shape: tuple[int, int, int], fit: Fit = "exact") -> ImageSet:
    """The images at `path`, each `shape` = (H, W, C).

    `fit="crop"` scales the shorter side and crops the middle; "exact" accepts only images of this size. Colours are
    converted to the model's channels (1 or 3). Raises DataError if `path` is not usable.
    """
    if shape[2] not in (1, 3):
        raise DataError(f"images have 1 or 3 channels; the model has {shape[2]}")
    local = Path(path)
    if local.exists():
        return read_array(local, shape) if local.suffix == ".npz" else ImageFiles(local, shape, fit)
    if local.suffix or path.startswith((".", "/", "~")) or path.endswith("/"):
        raise DataError(f"{path} does not exist; --data is {ACCEPTED}")
    return HubImages(path, shape, fit)


def fingerprint(images: ImageSet, labels: NDArray[np.int64] | None = None) -> str:
    """An identifier of a set of images: their number, and SHA-256 of some images and of all labels."""
    count = len(images)
    digest = hashlib.sha256()
    for index in np.linspace(0, count - 1, min(count, 16)).astype(int).tolist():
        digest.update(np.ascontiguousarray(images[index]).tobytes())
    if labels is not None:
        digest.update(labels.astype("<i8").tobytes())
    return f"{count} {digest.hexdigest()}"


def read_array(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    """The uint8 `[N, H, W, C]` array of an `.npz`. Raises DataError if it is missing or has another shape."""
    with opened_archive(path) as archive:
        names = [name.removesuffix(".npy") for name in archive.names()]
        key = next((key for key in ARRAY_KEYS if key in names), None)
        if key is None:
            raise DataError(f"{path} contains {quoted(names)}, but none of {', '.join(ARRAY_KEYS)}")
        images = archive.read_array(f"{key}.npy")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != shape or not len(images):
        raise DataError(f"{path}: {key} is {images.dtype} {list(images.shape)}; expected uint8 [N, {_text(shape)}]")
    return np.asarray(images, dtype=np.uint8)


@contextmanager
def opened_archive(path: Path) -> Iterator[Archive]:
    """Open an `.npz`. Reading from it within this context raises DataError if the file is damaged."""
    try:
        with Archive(path) as archive:
            yield archive
    except FileError as error:
        raise DataError(str(error)) from error


def decode(data: bytes, name: str, shape: tuple[int, int, int], fit: Fit) -> Image:
    """One image file as uint8 `[H, W, C]`: the first frame, without its alpha channel.

    Raises DataError for a damaged file, a file of another size, or one over the limit of pixels.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps, UnidentifiedImageError

    height, width, channels = shape
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # the limit below is lower
            file = Pillow.open(io.BytesIO(data), formats=FORMATS)
        with file:
            if file.width * file.height > MAX_PIXELS:
                raise ValueError(f"{file.width} x {file.height} exceeds the limit of {MAX_PIXELS} pixels")
            picture = file.convert("L" if channels == 1 else "RGB")
    except Exception as error:  # decoders raise errors of many kinds for damaged files
        reason = "unknown format" if isinstance(error, UnidentifiedImageError) else str(error)
        raise DataError(f"{name} is not a readable image: {reason}") from error
    if fit == "crop":
        picture = ImageOps.fit(picture, (width, height), Pillow.Resampling.LANCZOS)
    if picture.size != (width, height):
        found = f"{picture.height} high, {picture.width} wide"
        raise DataError(f"{name} is {found}; the model needs {height}, {width}; --fit crop scales and crops")
    return np.asarray(picture, dtype=np.uint8).reshape(shape)


def batch_indices(count: int, batch_size: int, step: int, seed: int) -> Sequence[int]:
    """The indices of the images of step `step`. A pure function, so that a resumed run sees the same images.

    Each epoch is a new permutation. Epochs follow each other without a gap, so a batch may contain images of two.
    """
    first = step * batch_size
    places = np.arange(first, first + batch_size)
    epochs = places // count
    order = {epoch: _permutation(count, int(epoch), seed) for epoch in np.unique(epochs)}
    return [int(order[epoch][place % count]) for epoch, place in zip(epochs, places, strict=True)]


@lru_cache(maxsize=2)  # every step needs the order of its epoch, and a batch may need two epochs
def _permutation(count: int, epoch: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng([seed, epoch]).permutation(count)


def _is_image(name: str) -> bool:
    path = Path(name)
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and "__MACOSX" not in path.parts


def _reason(error: Exception) -> str:
    """The message of an exception, without the error number that Python puts before a system error."""
    return str(getattr(error, "strerror", None) or error)


def _text(shape: tuple[int, int, int]) -> str:
    return ", ".join(str(side) for side in shape)
