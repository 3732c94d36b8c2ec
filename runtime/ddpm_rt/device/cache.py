"""Files that save time and can be lost: where they are, and reading and writing them without ever being in the way."""

import os
import sys
from contextlib import suppress
from pathlib import Path

from ..errors import DdpmRtError
from ..files import replace_file


def cache_folder() -> Path:
    """Of this user: where the platform wants such files."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "ddpm-rt"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ddpm-rt"


def read_cache(path: Path) -> bytes:
    """What is in it; nothing if it is not there or cannot be read."""
    try:
        return path.read_bytes()
    except OSError:
        return b""


def write_cache(path: Path, content: bytes) -> None:
    """Whole or not at all; a disk that is full or read-only is no error."""
    with suppress(OSError, DdpmRtError):
        path.parent.mkdir(parents=True, exist_ok=True)
        replace_file(path, lambda temporary: temporary.write_bytes(content))
