"""Reads zip files within limits: the directory is checked before it is parsed, a member before it is unpacked."""

import math
import os
import struct
import warnings
import zipfile
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .bounded_read import failure, open_regular
from .errors import FileError

DIRECTORY_BYTES = 64 << 20  # most bytes of a zip's directory: about 700 000 members
ARRAY_BYTES = 1 << 30  # most bytes of an array in an .npz; larger data must be image files
PART_BYTES = 1 << 20  # bytes that are unpacked at once
HEADER_BYTES = 10_000  # most bytes of an array's header; NumPy's own limit
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # lzma and bzip2 may ask for any amount of memory
END = b"PK\5\6"  # the start of the directory's last record; a comment of up to 64 KiB may follow
END64_LOCATOR, END64 = b"PK\6\7", b"PK\6\6"
DAMAGED = (OSError, ValueError, EOFError, zipfile.BadZipFile, zipfile.zlib.error, struct.error)  # type: ignore[attr-defined]
UNUSUAL = (RuntimeError, NotImplementedError, MemoryError, OverflowError, UnicodeError, KeyError, IndexError)


class Archive:
    """An open zip. Raises FileError unless `path` is a zip with a directory within the limits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = open_regular(path)
        try:
            check_directory(self._file)
            self._zip = zipfile.ZipFile(self._file)
        except (*DAMAGED, *UNUSUAL) as error:
            self._file.close()
            raise failure(path, f"cannot be read as a zip: {error}") from error

    def names(self) -> list[str]:
        return self._zip.namelist()

    def member(self, name: str, limit: int) -> zipfile.ZipInfo:
        """The entry of a member. Raises FileError if it is encrypted, too large, or compressed by another method."""
        info = self._zip.getinfo(name)
        where = f"{self.path}: {name}"
        if info.flag_bits & 1:
            raise failure(where, "is encrypted with a password")
        if info.compress_type not in METHODS:
            raise failure(
                where, f"is compressed by method {info.compress_type}; only stored and deflated are supported"
            )
        if info.file_size > limit:
            raise failure(where, f"is larger than the limit of {limit >> 20} MiB")
        return info

    def read(self, name: str, limit: int) -> bytes:
        """The content of a member. Raises FileError."""
        info = self.member(name, limit)
        try:
            with self._zip.open(info) as file:
                return file.read(limit + 1)
        except (*DAMAGED, *UNUSUAL) as error:
            raise failure(f"{self.path}: {name}", f"cannot be unpacked: {error}") from error

    def read_array(self, name: str, wanted: Any = np.uint8) -> NDArray[Any]:
        """Read an array of the number type `wanted` that `numpy.savez` wrote.

        The shape is checked before memory is allocated. Raises FileError.
        """
        info, where = self.member(name, ARRAY_BYTES + HEADER_BYTES), f"{self.path}: {name}"
        try:
            with self._zip.open(info) as file:
                shape, fortran, kind = read_header(file)
                count = math.prod(shape)
                size = count * kind.itemsize
                if not np.issubdtype(kind, wanted) or size > ARRAY_BYTES or size > info.file_size:
                    raise ValueError(
                        f"{kind} of {count:.3g} numbers in {info.file_size} bytes; expected {wanted.__name__}"
                    )
                content, place = np.empty(size, np.uint8), 0
                while part := file.read(min(PART_BYTES, size - place)):
                    content[place : place + len(part)] = np.frombuffer(part, np.uint8)
                    place += len(part)
                if place < size or file.read(1):
                    raise ValueError("the size of the file does not match its shape")
                array = content.view(kind)
        except FileError:
            raise
        except (*DAMAGED, *UNUSUAL) as error:
            raise failure(where, f"cannot be read as an array: {error}") from error
        return np.ascontiguousarray(array.reshape(shape[::-1]).T) if fortran else array.reshape(shape)

    def close(self) -> None:
        self._zip.close()
        self._file.close()

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def read_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape, whether the order is Fortran, and the type of an `.npy`. Raises ValueError."""
    try:
        version = np.lib.format.read_magic(file)
        readers: dict[tuple[int, int], Any] = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy warns about headers of Python 2
            shape, fortran, kind = readers[version](file, max_header_size=HEADER_BYTES)
    except Exception as error:  # a damaged header raises errors of many kinds
        raise ValueError("damaged header") from error
    if any(type(side) is not int or side < 0 for side in shape):
        raise ValueError("the shape is not made of counts")
    return shape, bool(fortran), kind


def check_directory(file: BufferedReader) -> None:
    """Raises ValueError unless the directory of an open zip is within the limits. Reads only the end of the file."""
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - 65_557))
    tail = file.read()
    file.seek(0)
    place = tail.rfind(END)
    if place < 0 or place + 22 > len(tail):
        raise ValueError("no directory at its end")
    directory = struct.unpack_from("<I", tail, place + 12)[0]
    if directory == 0xFFFFFFFF and tail[place - 20 : place - 16] == END64_LOCATOR:
        file.seek(min(size, struct.unpack_from("<Q", tail, place - 12)[0]))
        record = file.read(56)
        file.seek(0)
        if len(record) < 56 or record[:4] != END64:
            raise ValueError("damaged directory")
        directory = struct.unpack_from("<Q", record, 40)[0]
    if directory > DIRECTORY_BYTES:
        raise ValueError(f"its directory is larger than the limit of {DIRECTORY_BYTES >> 20} MiB")
