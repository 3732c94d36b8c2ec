"""Files of weights, looked at before a library reads them: their headers must fit the file, and nothing may inflate."""

import os
import struct
import zipfile
from pathlib import Path

from .archive import check_directory
from .bounded_read import TEXT_BYTES, failure, open_regular

ZIP = b"PK\3\4"
MEMBERS = 100_000  # of a zip by `torch.save`: one a tensor, and a few
POINTER = b"version https://git-lfs"


def check_safetensors(path: Path) -> None:
    """Raises FileError unless the header of a safetensors file is within the file and the limits."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(8)
        if start == POINTER[:8]:
            raise failure(path, "is a Git LFS pointer, not the weights; run `git lfs pull`")
        if len(start) < 8:
            raise failure(path, "cannot be read: it ends before its header")
        (header,) = struct.unpack("<Q", start)
        if header > min(size - 8, TEXT_BYTES):
            raise failure(path, f"cannot be read: a header of {header} bytes in a file of {size}")


def check_pickled(path: Path) -> None:
    """Raises FileError unless a file may be one of `torch.save`: it has content, and its members are not compressed."""
    with open_regular(path) as file:
        start = file.read(4)
        if not start:
            raise failure(path, "cannot be read: it is empty")
        if start != ZIP:
            return  # a pickle of old versions, whose reader goes through the file once
        size = os.fstat(file.fileno()).st_size
        try:
            check_directory(file)
            members = zipfile.ZipFile(file).infolist()
        except Exception as error:  # of a damaged zip, errors of many kinds
            raise failure(path, f"cannot be read as a zip: {error}") from error
        if len(members) > MEMBERS:
            raise failure(path, f"has more than {MEMBERS} members")
        if any(member.compress_type != zipfile.ZIP_STORED for member in members):
            raise failure(path, "has compressed members, which torch.save does not write")
        if sum(member.file_size for member in members) > size:
            raise failure(path, "has members that are larger than the file")
