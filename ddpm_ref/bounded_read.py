"""Bounded reading: every untrusted file of this package is opened, sized and parsed through this module.

Only regular files are opened: a pipe would block, a device would never end, and a file of the kernel (`/proc`) has no
size. Size, nesting, digits and keys are checked before the text is parsed. The limits equal those of
`ddpm_rt.artifacts.bounded_read`, which shares no code with this package; a test compares the two.
"""

import json
import os
import re
import stat
import sys
from functools import lru_cache
from io import BufferedReader
from pathlib import Path
from typing import Any

from .errors import FileError
from .text import one_line, quoted

TEXT_BYTES = 16 << 20  # most bytes of a JSON or TOML file
NESTING = 64  # lists and objects inside each other
DIGITS = 100  # of one number; a float64 written in full has fewer
KEYS = 20_000  # of all objects of a file together
PICTURE_BYTES = 256 << 20
POINTER = b"version https://git-lfs.github.com/spec/"  # the start of what a clone without `git lfs pull` has

# A string up to its end, or to the end of a text that lacks one: no backtracking, so the time is linear.
STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
LONG_NUMBER = re.compile(rf"(?<![0-9])[0-9_]{{{DIGITS + 1}}}")  # TOML may write 1_000
NOT_BRACKETS = re.compile(r"[^][{}]+")
ESCAPED = re.compile(r"\\u[dD][89a-fA-F]")
TOML_STRING = re.compile(r"\"(?:[^\"\\\n]|\\.)*\"|'[^'\n]*'|#[^\n]*")


def failure(path: Path | str, reason: str) -> FileError:
    """The error about a file: one printable line of at most 300 characters."""
    return FileError(f"{path} {reason}")


def open_regular(path: Path) -> BufferedReader:
    """`path` open for reading, which a symbolic link may lead to. Raises FileError unless it is a regular file."""
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_CLOEXEC", "O_NOCTTY", "O_BINARY"):  # a pipe is opened at once, and then refused
        flags |= getattr(os, name, 0)
    try:
        _require_regular(path, path.stat())  # before it is opened: opening alone may act on a device
        file = os.open(path, flags)
        try:
            _require_regular(path, os.fstat(file))
        except BaseException:
            os.close(file)
            raise
    except OSError as error:
        raise failure(path, f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise error if isinstance(error, FileError) else failure(path, f"cannot be read: {error}") from error
    return os.fdopen(file, "rb")


def _require_regular(path: Path, found: os.stat_result) -> None:
    kinds = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}
    if not stat.S_ISREG(found.st_mode):
        raise failure(path, f"is {kinds.get(stat.S_IFMT(found.st_mode), 'a device')}, not a regular file")
    if found.st_dev in _kernel_devices():
        raise failure(path, "is a file of the kernel, not a regular file")


@lru_cache(maxsize=1)
def _kernel_devices() -> frozenset[int]:
    """The devices of `/proc` and `/sys`, whose files look regular and have no size."""
    return frozenset(os.stat(place).st_dev for place in ("/proc", "/sys") if os.path.ismount(place))


def read_bytes(path: Path, limit: int = TEXT_BYTES) -> bytes:
    """The content of a regular file. Raises FileError for more than `limit` bytes."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > limit:
            raise failure(path, f"is larger than the limit of {limit >> 20} MiB")
        try:
            content = file.read(limit + 1)
        except (OSError, MemoryError) as error:
            raise failure(path, f"cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > limit:  # it has grown
        raise failure(path, f"is larger than the limit of {limit >> 20} MiB")
    refuse_pointer(path, content)
    return content


def refuse_pointer(path: Path, start: bytes) -> None:
    """Raises FileError if `start`, the first bytes of a file, are those of a Git LFS pointer."""
    if start.startswith(POINTER):
        raise failure(path, "is a Git LFS pointer, not the file itself; run `git lfs pull` in its folder")


def decoded(content: bytes) -> str:
    """Strict UTF-8. Raises ValueError."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 text at byte {error.start}") from error


def parse_json(content: bytes | str) -> Any:
    """The value of a JSON text within the limits.

    Raises ValueError with one short line if the text is not JSON, has a duplicate key, or exceeds a limit.
    """
    text = content if isinstance(content, str) else decoded(content)
    _check_text(text, STRING.sub('""', text))
    _check_surrogates(text)
    try:
        return json.loads(text, object_pairs_hook=_once)
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {one_line(str(error), 120)}") from error
    except (RecursionError, MemoryError) as error:
        raise ValueError("too large or too deeply nested") from error


def parse_toml(content: bytes | str) -> dict[str, Any]:
    """Parse TOML within the limits. Raises ValueError with one short line."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    text = content if isinstance(content, str) else decoded(content)
    _check_text(text, TOML_STRING.sub('""', text), separator="=")
    try:
        return tomllib.loads(text)
    except (RecursionError, MemoryError) as error:
        raise ValueError("too large or too deeply nested") from error
    except ValueError as error:
        raise ValueError(f"not TOML: {one_line(str(error), 120)}") from error


def _check_text(text: str, bare: str, separator: str = ":") -> None:
    """Raises ValueError if `text`, or `bare`, the same text without its strings, exceeds a limit."""
    if len(text) > TEXT_BYTES:
        raise ValueError(f"longer than the limit of {TEXT_BYTES >> 20} MiB")
    depth = 0
    for bracket in NOT_BRACKETS.sub("", bare):
        depth += 1 if bracket in "[{" else -1
        if depth > NESTING:
            raise ValueError(f"nested deeper than {NESTING} levels")
    if LONG_NUMBER.search(bare):
        raise ValueError(f"a number has more than {DIGITS} digits")
    if bare.count(separator) > KEYS:
        raise ValueError(f"more than {KEYS} keys")


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
