"""`.npz` files: an array of bytes, read within limits."""

import math
import struct
import zipfile
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from .array_file import read_header
from .bounded_read import failure, open_regular, size_of

ARRAY_BYTES = 1 << 30  # of one array
DIRECTORY_BYTES = 1 << 20  # of the list of members: some 10 000 of them
END, END64_LOCATOR = (
    b"PK\5\6",
    b"PK\6\7",
)  # the last record of a zip, which a comment may follow, and that of a larger one
TAIL = 22 + (1 << 16)  # bytes of that record with the longest comment
PIECE = 1 << 24  # bytes that are inflated at a time
ADVICE = "write it with numpy.savez"
ARRAY_KEYS = ("train_images", "images", "x_train", "arr_0")  # looked for in this order


def read_byte_array(path: Path, name: str | None = None) -> NDArray[np.uint8]:
    """The uint8 array `name` of an `.npz`, by default the first of ARRAY_KEYS that it has, C-ordered.

    Its size is checked against its shape before memory is allocated. Raises DdpmRtError for a file that is damaged, is
    beyond a limit, or lacks the array.
    """
    with open_regular(path, ADVICE) as file:
        try:
            _check_directory(file)
            with zipfile.ZipFile(file) as archive:
                known = [one.removesuffix(".npy") for one in archive.namelist() if one.endswith(".npy")]
                return _read_member(archive, _chosen(known, name))
        except (ValueError, KeyError, OSError, EOFError, MemoryError, RuntimeError, NotImplementedError) as error:
            raise failure(path, f"cannot be read as an array of bytes: {error}", ADVICE) from error
        except Exception as error:  # zlib's and zipfile's own share no base class
            raise failure(path, f"is damaged ({type(error).__name__})", ADVICE) from error


def _check_directory(file: BufferedReader) -> None:
    """Raises ValueError for a list of members that would take much memory to parse, or that is not there."""
    file.seek(max(0, size_of(file) - TAIL))
    tail = file.read(TAIL)
    at = tail.rfind(END)
    if at < 0 or len(tail) - at < 22:
        raise ValueError("it is no whole zip")
    (size,) = struct.unpack("<I", tail[at + 12 : at + 16])
    if size > DIRECTORY_BYTES or tail[max(0, at - 20) :].startswith(END64_LOCATOR):
        raise ValueError("it has too many members, or more than 4 GiB")
    file.seek(0)


def _chosen(known: Sequence[str], name: str | None) -> str:
    found = name if name is not None else next((key for key in ARRAY_KEYS if key in known), None)
    if found is None or found not in known:
        wanted = name or " or ".join(ARRAY_KEYS)
        raise ValueError(f"it has no array {wanted}, but {', '.join(known[:10]) or 'none'}")
    return found


def _read_member(archive: zipfile.ZipFile, name: str) -> NDArray[np.uint8]:
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError("it is neither stored nor deflated")
    if info.file_size > ARRAY_BYTES:
        raise ValueError(f"{name} is larger than the limit of {ARRAY_BYTES >> 20} MiB")
    with archive.open(info) as member:
        shape, fortran, stored = read_header(member)
        count = math.prod(shape)
        if stored != np.uint8:
            raise ValueError(f"{name} is of type {stored.str}, not uint8")
        if count != info.file_size - member.tell():
            raise ValueError(f"the size of {name} is not that of its shape")
        flat = np.empty(count, np.uint8)
        for start in range(0, count, PIECE):
            content = member.read(min(PIECE, count - start))
            if len(content) != min(PIECE, count - start):
                raise ValueError(f"{name} is shorter than its shape")
            flat[start : start + len(content)] = np.frombuffer(content, np.uint8)
    return np.ascontiguousarray(flat.reshape(shape[::-1]).T) if fortran else flat.reshape(shape)
