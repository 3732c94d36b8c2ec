"""Files that save time and can be lost: where they are, and reading and writing them without ever being in the way."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from ..artifacts.atomic_write import replace_file
from ..errors import DdpmRtError


def user_cache() -> Path | None:
    """Where the platform wants such files of this user; None for a user without a home."""
    windows = sys.platform == "win32"
    if os.path.isabs(given := os.environ.get("LOCALAPPDATA" if windows else "XDG_CACHE_HOME", "")):
        return Path(given) / "ddpm-rt"
    try:
        return Path.home() / ("AppData/Local" if windows else ".cache") / "ddpm-rt"
    except RuntimeError:
        return None


def cache_folder(name: str) -> Path | None:
    """A folder of the user's cache, made if need be; None where that cannot be."""
    if (cache := user_cache()) is None:
        return None
    try:
        (cache / name).mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return cache / name


def read_cache(path: Path | None) -> bytes:
    """What is in it; nothing if it is not there or cannot be read."""
    try:
        return b"" if path is None else path.read_bytes()
    except OSError:
        return b""


def write_cache(path: Path | None, content: bytes) -> None:
    """Whole or not at all; a disk that is full or read-only is no error."""
    if path is not None:
        with suppress(OSError, DdpmRtError):
            path.parent.mkdir(parents=True, exist_ok=True)
            replace_file(path, lambda temporary: temporary.write_bytes(content))
