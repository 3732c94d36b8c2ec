"""Writing files so that nobody ever sees half of one."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from .atomic_file import write_whole
from .errors import OutputError


def make_folder(folder: Path) -> None:
    """Make it, and those above it. Raises OutputError when that fails."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder} cannot be made: {error.strerror}") from error


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an OSError into an OutputError that names `path`."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{path} cannot be written: {error.strerror or error}") from error


def replace_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON in one move."""
    replace_file(path, lambda file: file.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8"))


def replace_tensors(path: Path, content: Mapping[str, Any]) -> None:
    """Write what `torch.load` reads, in one move."""

    def write(temporary: Path) -> None:
        try:
            with temporary.open("wb") as file:
                torch.save(content, file)
        except RuntimeError as error:  # of torch's writer, which says less than the file did
            raise (error.__context__ or error) from None

    replace_file(path, write)


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` on a temporary file, then rename it: readers see the old file or the new, never half.

    Raises OutputError when that fails. The temporary file is gone afterwards, whatever happened.
    """
    make_folder(path.parent)
    with writing(path):
        write_whole(path, write)
