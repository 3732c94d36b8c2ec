"""Atomic writing of files: a reader never sees half of a file."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .atomic_file import write_whole
from .errors import OutputError


def make_folder(folder: Path) -> None:
    """Create `folder` and its parents. Raises OutputError when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError in this context into an OutputError that names `path`."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def replace_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write `value` as JSON, atomically. Raises OutputError."""
    replace_file(path, lambda file: file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8"))


def replace_tensors(path: Path, content: Mapping[str, Any]) -> None:
    """Write `content` with `torch.save`, atomically. Raises OutputError."""

    def write(temporary: Path) -> None:
        try:
            with temporary.open("wb") as file:
                torch.save(content, file)
        except RuntimeError as error:  # torch's writer hides the reason, which is in the OSError of the file
            raise (error.__context__ or error) from None

    replace_file(path, write)


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` on a temporary file, then rename the file to `path`: readers see the old file or the new one.

    Raises OutputError when that fails. The temporary file never remains.
    """
    make_folder(path.parent)
    with writing(path):
        write_whole(path, write)
