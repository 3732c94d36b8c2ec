"""Bounded reading: every untrusted file of the package is opened, sized and parsed through this module.

Only regular files are opened: a pipe would block, a device would never end, and a file of the kernel (`/proc`) has no
size. Size, nesting, digits and keys are checked before the text is parsed, so no input costs more time or memory than
the limits allow. `ddpm_ref.bounded_read` has the same limits, and a test compares the two.
"""

import json
import mmap
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any

from ..errors import DdpmRtError
from ..text import one_line, quoted

TEXT_BYTES = 16 << 20  # most bytes of a JSON or TOML file
NESTING = 64  # most levels of lists and objects
DIGITS = 100  # most digits of one number; a float64 in full has fewer
KEYS = 20_000  # most keys of a file, over all objects
PICTURE_BYTES = 256 << 20
POINTER = b"version https://git-lfs.github.com/spec/"  # the start of a file that `git lfs pull` has not replaced

# A string up to its closing quote, or else to the end of the text: without backtracking, so the time is linear.
STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
LONG_NUMBER = re.compile(rf"(?<![0-9])[0-9]{{{DIGITS + 1}}}")
NOT_BRACKETS = re.compile(r"[^][{}]+")
ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")


def failure(path: Path | str, reason: str, advice: str) -> DdpmRtError:
    """The error about a file: one printable line of at most 300 characters."""
    return DdpmRtError(one_line(f"{path} {reason}; {advice}"))


def is_regular(path: Path) -> bool:
    """Whether `path` is a regular file or a link to one; False for a path that is not valid."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (OSError, ValueError):
        return False


def open_regular(path: Path, advice: str) -> BufferedReader:
    """Open a regular file, or a symbolic link to one, for reading. Raises DdpmRtError for anything else."""
    flags = os.O_RDONLY
    for name in (
        "O_NONBLOCK",
        "O_CLOEXEC",
        "O_NOCTTY",
        "O_BINARY",
    ):  # O_NONBLOCK: a pipe opens at once, and is then refused
        flags |= getattr(os, name, 0)
    try:
        _require_regular(path, path.stat(), advice)  # before opening, which alone may have an effect on a device
        file = os.open(path, flags)
        try:
            _require_regular(path, os.fstat(file), advice)
        except BaseException:
            os.close(file)
            raise
    except OSError as error:
        raise failure(path, f"cannot be read: {error.strerror or error}", advice) from error
    except ValueError as error:  # a zero byte in the name
        raise failure(path, f"cannot be read: {error}", advice) from error
    return os.fdopen(file, "rb")


def _require_regular(path: Path, found: os.stat_result, advice: str) -> None:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    if not stat.S_ISREG(found.st_mode):
        raise failure(path, f"is {kinds.get(stat.S_IFMT(found.st_mode), 'a device')}, not a regular file", advice)
    if found.st_dev in _kernel_devices():
        raise failure(path, "is a file of the kernel, not a regular file", advice)


@lru_cache(maxsize=1)
def _kernel_devices() -> frozenset[int]:
    """The device numbers of `/proc` and `/sys`. Their files look regular but have no size."""
    return frozenset(os.stat(place).st_dev for place in ("/proc", "/sys") if os.path.ismount(place))


def refuse_pointer(path: Path, start: bytes) -> None:
    """Raises DdpmRtError if `start`, the first bytes of a file, are the start of a Git LFS pointer."""
    if start.startswith(POINTER):
        raise failure(path, "is a Git LFS pointer, not the file itself", "run `git lfs pull` in its folder")


def size_of(file: BufferedReader) -> int:
    """The size of an open file in bytes."""
    return os.fstat(file.fileno()).st_size


def read_bytes(path: Path, advice: str, limit: int = TEXT_BYTES) -> bytes:
    """The content of a regular file. Raises DdpmRtError for an unreadable file, or one of more than `limit` bytes."""
    with open_regular(path, advice) as file:
        if size_of(file) > limit:
            raise failure(path, f"is larger than the limit of {limit >> 20} MiB", advice)
        try:
            content = file.read(limit + 1)
        except (OSError, MemoryError) as error:
            raise failure(path, f"cannot be read: {getattr(error, 'strerror', None) or error}", advice) from error
    if len(content) > limit:  # the file has grown since
        raise failure(path, f"is larger than the limit of {limit >> 20} MiB", advice)
    return content


@contextmanager
def mapped(path: Path, advice: str) -> Iterator[mmap.mmap | bytes]:
    """Map the content of a regular file into memory. Raises DdpmRtError."""
    with open_regular(path, advice) as file:
        if not size_of(file):
            yield b""
            return
        try:
            content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise failure(path, f"cannot be read: {error}", advice) from error
        with content:
            yield content


def decoded(content: bytes) -> str:
    """Decode strict UTF-8. Raises ValueError."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text at byte {error.start}") from error


def parse_json(content: bytes | str, *, constants: bool = True) -> Any:
    """Parse JSON within the limits. NaN and Infinity are accepted only with `constants`.

    Raises ValueError with one short line if the text is not JSON, has a duplicate key, or exceeds a limit.
    """
    text = content if isinstance(content, str) else decoded(content)
    if len(text) > TEXT_BYTES:
        raise ValueError(f"longer than the limit of {TEXT_BYTES >> 20} MiB")
    bare = STRING.sub('""', text)
    check_nesting(bare)
    if LONG_NUMBER.search(bare):
        raise ValueError(f"a number has more than {DIGITS} digits")
    if bare.count(":") > KEYS:
        raise ValueError(f"more than {KEYS} keys")
    _check_surrogates(text)
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=None if constants else _no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {one_line(str(error), 120)}") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError("too large or too deeply nested") from error


def check_nesting(bare: str) -> None:
    """Raises ValueError if brackets nest deeper than `NESTING`. `bare` is JSON text without its strings."""
    depth = 0
    for bracket in NOT_BRACKETS.sub("", bare):
        depth += 1 if bracket in "[{" else -1
        if depth > NESTING:
            raise ValueError(f"nested deeper than {NESTING} levels")


def _check_surrogates(text: str) -> None:
    """Raises ValueError for an escaped lone surrogate, which cannot be encoded as UTF-8."""
    if not ESCAPED.search(text):
        return
    for match in STRING.finditer(text):
        try:
            if ESCAPED.search(match[0]):
                json.loads(match[0]).encode("utf-8")
        except UnicodeEncodeError as error:
            raise ValueError(f"a lone surrogate in {quoted(match[0])}") from error
        except json.JSONDecodeError:
            return  # json.loads reports the error


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = set()
        for key, _ in pairs:
            if key in keys:
                raise ValueError(f"duplicate key {quoted(key)}")
            keys.add(key)
    return found


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number")
