"""The user's cache: files that save time. A cache that cannot be read or written is no error."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from ..artifacts.atomic_write import replace_file
from ..errors import DdpmRtError


def user_cache() -> Path | None:
    """The platform's cache folder of this user; None for a user without a home."""
    windows = sys.platform == "win32"
    if os.path.isabs(given := os.environ.get("LOCALAPPDATA" if windows else "XDG_CACHE_HOME", "")):
        return Path(given) / "ddpm-rt"
    try:
        return Path.home() / ("AppData/Local" if windows else ".cache") / "ddpm-rt"
    except RuntimeError:
        return None


def cache_folder(name: str) -> Path | None:
    """A folder of the user's cache, created if it is missing; None where it cannot be created."""
    if (cache := user_cache()) is None:
        return None
    try:
        (cache / name).mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return cache / name


def read_cache(path: Path | None) -> bytes:
    """The bytes of the file; empty if it is missing or cannot be read."""
    try:
        return b"" if path is None else path.read_bytes()
    except OSError:
        return b""


def write_cache(path: Path | None, content: bytes) -> None:
    """Write the whole file or none. A full or read-only disk is no error."""
    if path is not None:
        with suppress(OSError, DdpmRtError):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, lambda temporary: temporary.write_bytes(content))
