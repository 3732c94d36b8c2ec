"""Writing files so that nobody ever sees half of one."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import DdpmRtError


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` on a sibling temporary file, then rename it to `path`. Raises DdpmRtError when that fails.

    The temporary file is gone afterwards, whatever happened, an interrupt included.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise DdpmRtError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Raises DdpmRtError unless a file can be made in `folder`: better now than after the work."""
    if not folder.is_dir():
        raise DdpmRtError(f"{folder} is not a folder; make it first")
    probe = folder / f".ddpm-rt.{os.getpid()}.tmp"
    try:
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise DdpmRtError(f"{folder} cannot be written to: {error.strerror}") from error


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if hasattr(hashlib, "file_digest") else _digest(file)


def _digest(file: Any) -> str:  # Python 3.10
    digest = hashlib.sha256()
    while chunk := file.read(1 << 20):
        digest.update(chunk)
    return digest.hexdigest()
