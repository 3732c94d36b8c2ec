"""A folder with a PNG a sample, which grows batch by batch and is resumed by the same command."""

import io
import os
import stat
import struct
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ..artifacts.folder_owner import Say, owned_folder
from ..artifacts.output_path import check_writable
from ..errors import DdpmRtError
from .read import MODES
from .write import Pixels, enlarged, save_png

SIGNATURE = b"\x89PNG\r\n\x1a\n"
SIZE, MODE = "size", "mode"  # beside the text of a PNG: width and height, and the kind of its pixels
TEXT_BYTES = 1 << 20  # of a PNG besides its pixels, at most


class SampleFolder:
    """The samples of one request in a folder. `text` is what their PNGs say, besides their number.

    A PNG has `scale` x `scale` pixels for each of an image of `shape`, C, H, W. Raises DdpmRtError where the folder
    cannot be made or written to.
    """

    def __init__(
        self, path: Path, text: Mapping[str, str], shape: tuple[int, int, int], samples: range, scale: int = 1
    ) -> None:
        self.path, self.text, self.samples, self.scale = path, text, samples, scale
        channels, height, width = shape
        self.bytes = channels * height * width * scale**2  # of the pixels of a picture
        self.format = {SIZE: _size(width * scale, height * scale), MODE: str(MODES.get(channels))}
        self.kept = 0  # samples that are in the folder
        self.damaged = 0  # that were, but not whole; they are drawn again
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DdpmRtError(f"{path} cannot be made: {error.strerror}") from error
        check_writable(path)

    def owned(self, say: Say) -> AbstractContextManager[None]:
        """No other request's samples come into the folder meanwhile. Raises DdpmRtError while some do."""
        part = f"{self.samples.start}-{self.samples.stop - 1}"
        return owned_folder(self.path, {**self.text, **self.format}, part, say)

    def missing(self) -> list[int]:
        """The samples to draw. Raises DdpmRtError where another image has the name of one."""
        self.kept = self.damaged = 0
        missing = []
        for sample in self.samples:
            if self._is_there(sample):
                self.kept += 1
            else:
                missing.append(sample)
        return missing

    def write(self, samples: Sequence[int], pixels: Pixels) -> None:
        """Write a batch, uint8 `[N, H, W, C]`."""
        for sample, picture in zip(samples, pixels, strict=True):
            save_png(self._file(sample), enlarged(picture, self.scale), self._text_of(sample))
            self.kept += 1

    def _file(self, sample: int) -> Path:
        return self.path / f"{sample:06d}.png"

    def _text_of(self, sample: int) -> dict[str, str]:
        return {**self.text, "ddpm-rt.sample": str(sample)}

    def _is_there(self, sample: int) -> bool:
        """Whether the file of a sample is whole: after a crash it may have its text and not its pixels."""
        path = self._file(sample)
        content = _read(path, 2 * self.bytes + TEXT_BYTES)
        if content is None:
            return False
        if not SIGNATURE.startswith(content[: len(SIGNATURE)]):
            raise DdpmRtError(f"{path} is no PNG of ddpm-rt; use another folder")
        text, is_whole = _decoded(content)
        for key, value in {**self._text_of(sample), **self.format}.items():
            if text.get(key, value) != value or (is_whole and key not in text):
                name, other = key.removeprefix("ddpm-rt."), text.get(key, "unknown")
                raise DdpmRtError(f"{path} is another image ({name} {other}, not {value}); use another folder")
        self.damaged += not is_whole
        return is_whole


def _read(path: Path, largest: int) -> bytes | None:
    """The bytes of a regular file, None where there is none. Raises DdpmRtError for anything else."""
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
        raise DdpmRtError(f"{path} is no picture of this size; use another folder")
    return content


def _size(width: int, height: int) -> str:
    return f"{width} x {height}"


def _decoded(content: bytes) -> tuple[dict[str, str], bool]:
    """The text, size and mode of a PNG as far as they can be read, and whether all of the file can.

    The size is that of the header: Pillow opens no picture that is very large, which is another image, not a damaged
    one.
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
    """Whether a PNG ends with its last chunk and every checksum is right; Pillow skips those of the pixels."""
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
