"""A folder with one PNG for each sample. It grows batch by batch, and the same command resumes it."""

import io
import math
import os
import stat
import struct
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ..artifacts.folder_owner import Say, owned_folder
from ..artifacts.output_path import check_writable
from ..errors import DdpmRtError
from .read import MODES
from .write import enlarged, save_png

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIZE, MODE = "size", "mode"  # keys for width and height and for the pixel type, next to the text chunks of a PNG
TEXT_BYTES = 1 << 20  # most bytes of a PNG besides its pixels


class SampleFolder:
    """The samples of one request in a folder. All files have the text `text`, and each has its sample number.

    A PNG has `scale` x `scale` pixels for each pixel of an image of `shape`, C, H, W. Raises DdpmRtError if the folder
    cannot be created or written to.
    """

    suffix = ".png"

    def __init__(
        self, path: Path, text: Mapping[str, str], shape: tuple[int, ...], samples: range, scale: int = 1
    ) -> None:
        self.path, self.text, self.shape, self.samples, self.scale = path, text, shape, samples, scale
        self.format = self._format()
        self.kept = 0  # complete files
        self.damaged = 0  # incomplete files, whose samples are drawn again
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DdpmRtError(f"{path} cannot be made: {error.strerror}") from error
        check_writable(path)

    def _format(self) -> dict[str, str]:
        """What a file must have besides its text chunks."""
        channels, height, width = self.shape
        return {SIZE: _size(width * self.scale, height * self.scale), MODE: str(MODES.get(channels))}

    def owned(self, say: Say) -> AbstractContextManager[None]:
        """Keep other requests out of the folder. Raises DdpmRtError while another request uses the folder."""
        part = f"{self.samples.start}-{self.samples.stop - 1}"
        return owned_folder(self.path, {**self.text, **self.format}, part, say)

    def missing(self) -> list[int]:
        """The samples to draw. Raises DdpmRtError if the file of a sample holds another image."""
        self.kept = self.damaged = 0
        missing = []
        for sample in self.samples:
            if self._is_there(sample):
                self.kept += 1
            else:
                missing.append(sample)
        return missing

    def write(self, samples: Sequence[int], pixels: NDArray[Any]) -> None:
        """Write a batch, uint8 `[N, H, W, C]`."""
        for sample, picture in zip(samples, pixels, strict=True):
            save_png(self.file_of(sample), enlarged(picture, self.scale), self.text_of(sample))
            self.kept += 1

    def file_of(self, sample: int) -> Path:
        return self.path / f"{sample:06d}{self.suffix}"

    def text_of(self, sample: int) -> dict[str, str]:
        return {**self.text, "ddpm-rt.sample": str(sample)}

    def _is_there(self, sample: int) -> bool:
        """Whether the file of a sample is complete: after a crash a file may have its text but not its pixels."""
        path = self.file_of(sample)
        content = read_regular(path, 2 * math.prod(self.shape) * self.scale**2 + TEXT_BYTES)
        if content is None:
            return False
        if not SIGNATURE.startswith(content[: len(SIGNATURE)]):
            raise DdpmRtError(f"{path} is not a PNG of ddpm-rt; use another folder")
        text, is_whole = _decoded(content)
        for key, value in {**self.text_of(sample), **self.format}.items():
            if text.get(key, value) != value or (is_whole and key not in text):
                name, other = key.removeprefix("ddpm-rt."), text.get(key, "unknown")
                raise DdpmRtError(f"{path} is another image ({name} {other}, not {value}); use another folder")
        self.damaged += not is_whole
        return is_whole


def read_regular(path: Path, largest: int) -> bytes | None:
    """The bytes of a regular file, or None if there is no file. Raises DdpmRtError for anything else."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            content = file.read(largest) if stat.S_ISREG(found.st_mode) and found.st_size <= largest else None
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DdpmRtError(f"{path} cannot be read: {error.strerror}; use another folder") from error
    if content is None:
        raise DdpmRtError(f"{path} is not a picture of this size; use another folder")
    return content


def _size(width: int, height: int) -> str:
    return f"{width} x {height}"


def _decoded(content: bytes) -> tuple[dict[str, str], bool]:
    """The readable text chunks, size and mode of a PNG, and whether the whole file can be read.

    The size comes from the header, because Pillow refuses to open very large pictures. These are other images, not
    damaged ones.
    """
    from PIL import Image

    text = _header(content)
    try:
        with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
            text |= {str(key): value for key, value in picture.info.items() if isinstance(value, str)}
            text |= {SIZE: _size(*picture.size), MODE: picture.mode}
            picture.load()
    except (OSError, SyntaxError, ValueError, EOFError, zlib.error, Image.DecompressionBombError):
        return text, False
    return text, _has_whole_chunks(content)


def _header(content: bytes) -> dict[str, str]:
    """The size by the first chunk of a PNG, if that is whole."""
    chunk = content[12:29]
    if chunk[:4] != b"IHDR" or zlib.crc32(chunk) != int.from_bytes(content[29:33], "big"):
        return {}
    return {SIZE: _size(*struct.unpack(">II", chunk[4:12]))}


def _has_whole_chunks(content: bytes) -> bool:
    """Whether a PNG ends with its last chunk and every checksum is right. Pillow does not check those of the pixels."""
    at = len(SIGNATURE)
    while at + 12 <= len(content):
        size = int.from_bytes(content[at : at + 4], "big")
        kind, end = content[at + 4 : at + 8], at + 8 + size
        if zlib.crc32(content[at + 4 : end]) != int.from_bytes(content[end : end + 4], "big") or end + 4 > len(content):
            return False
        if kind == b"IEND":
            return True
        at = end + 4
    return False
