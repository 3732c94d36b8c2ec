"""Reads weights files. Each is checked before a library reads it: header, size of members, no compression."""

import os
import pickle
import re
import struct
import warnings
import zipfile
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from .archive import check_directory
from .bounded_read import POINTER, TEXT_BYTES, failure, open_regular, refuse_pointer
from .errors import CheckpointError, FileError
from .text import one_line, quoted

ZIP = b"PK\3\4"
MEMBERS = 100_000  # most members of a zip by `torch.save`: one for each tensor, and a few more
PICKLE_BYTES = 64 << 20  # most bytes of the member that names the tensors
REASON = 120  # most characters of a library's message
FOREIGN_OBJECT = re.compile(r"GLOBAL ([\w.]+)")  # how torch names an object in a pickle that is not a tensor

Kind = Literal["safetensors", "zip", "pickle"]


def kind_of(path: Path) -> Kind:
    """The kind of a weights file, from its first bytes, or else from its suffix.

    Raises FileError for an empty file and for a Git LFS pointer.
    """
    with open_regular(path) as file:
        size, start = os.fstat(file.fileno()).st_size, file.read(len(POINTER))
    if not start:
        raise failure(path, "cannot be read: it is empty")
    refuse_pointer(path, start)
    if start.startswith(ZIP):
        return "zip"
    fits = start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= size - 8
    return "safetensors" if fits or path.suffix == ".safetensors" else "pickle"


def load_weights_file(path: Path) -> dict[str, Any]:
    """Read a weights file with any suffix. The tensors of a zip are memory-mapped. Raises CheckpointError."""
    try:
        kind = kind_of(path)
    except FileError as error:
        raise CheckpointError(str(error)) from error
    return load_safetensors(path) if kind == "safetensors" else load_tensors(path, mmap=kind == "zip")


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a safetensors file. Raises CheckpointError."""
    from safetensors.torch import load_file

    try:
        check_safetensors(path)
        return load_file(path)
    except FileError as error:
        raise CheckpointError(str(error)) from error
    except Exception as error:  # errors of the library, of memory and of the file system
        raise CheckpointError(f"{path} cannot be read: {one_line(str(error), REASON)}") from error


def load_tensors(path: Path, device: torch.device | str = "cpu", *, mmap: bool = False) -> dict[str, Any]:
    """Read a `torch.save` file that contains only tensors and plain values; other pickles can run code.

    `mmap` maps the tensors instead of reading them. Raises CheckpointError for other contents or an unreadable file.
    """
    try:
        check_pickled(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns about the pickle's protocol before it refuses the file
            content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True, mmap=mmap)
        return content
    except FileError as error:
        raise CheckpointError(str(error)) from error
    except pickle.UnpicklingError as error:
        found = FOREIGN_OBJECT.search(str(error))
        what = f" ({one_line(found[1], 60)})" if found else ""
        raise CheckpointError(
            f"{path} is damaged, or contains more than tensors and plain values{what}; save only its state dict"
        ) from error
    except Exception as error:  # a damaged pickle raises errors of any kind
        reason = one_line(str(error) or type(error).__name__, REASON)
        raise CheckpointError(f"{path} cannot be read: {reason}") from error


def state_dict(content: object, source: Path) -> dict[str, Tensor]:
    """`content`, if it is a mapping from names to tensors. Raises CheckpointError otherwise."""
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{source} contains no state dict, or an empty one ({type(content).__name__})")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{source} is no state dict: {quoted(name)} is {type(value).__name__}, not a tensor")
    return content


def check_safetensors(path: Path) -> None:
    """Raises FileError if the header of a safetensors file exceeds the file or the limits."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(len(POINTER))
    refuse_pointer(path, start)
    if len(start) < 8:
        raise failure(path, "cannot be read: the file ends before its header")
    (header,) = struct.unpack_from("<Q", start)
    if header > min(size - 8, TEXT_BYTES):
        raise failure(path, f"cannot be read: a header of {header} bytes in a file of {size}")


def check_pickled(path: Path) -> None:
    """Raises FileError if a file cannot be from `torch.save`: it is empty, or has compressed or oversized members."""
    with open_regular(path) as file:
        start = file.read(len(POINTER))
        if not start:
            raise failure(path, "cannot be read: it is empty")
        refuse_pointer(path, start)
        if not start.startswith(ZIP):
            return  # a pickle of old torch versions: reading it cannot inflate
        size = os.fstat(file.fileno()).st_size
        try:
            check_directory(file)
            members = zipfile.ZipFile(file).infolist()
        except Exception as error:  # a damaged zip raises errors of many kinds
            raise failure(path, f"cannot be read as a zip: {error}") from error
    _check_members(path, size, members)


def _check_members(path: Path, size: int, members: list[zipfile.ZipInfo]) -> None:
    sizes = {member.filename.rpartition("/")[2]: member.file_size for member in members}
    if len(members) > MEMBERS:
        raise failure(path, f"has more than {MEMBERS} members")
    if "constants.pkl" in sizes:
        raise failure(path, "is a TorchScript program, not a state dict; save its state_dict()")
    if "data.pkl" not in sizes:
        raise failure(path, "is a zip file, but not one that torch.save wrote")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        raise failure(path, "has compressed members, which torch.save does not write; save its state dict again")
    if sum(member.file_size for member in members) > size or sizes["data.pkl"] > PICKLE_BYTES:
        raise failure(path, "has members that are larger than the file, or than the limit")
