"""Checks of output paths, which run before the work instead of after it."""

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import DdpmRtError
from .atomic_write import find_target, temporary_file

# Suffixes with a fixed meaning. A file with another suffix may hold anything.
KNOWN = (
    *(".onnx", ".plan", ".engine", ".json", ".npy", ".png", ".jpg", ".gif", ".webp", ".html"),
    *(".safetensors", ".pt", ".pth", ".ckpt", ".bin", ".toml"),
)
APART = (".onnx", ".html", ".png")  # never part of a checkpoint, even inside its folder


def check_output_path(out: Path, *suffixes: str, inputs: Iterable[Path | None] = (), strict: bool = False) -> None:
    """Raises ValueError if `out` would replace one of `inputs` or a file inside an input folder, or has a wrong suffix.

    A suffix is wrong if it belongs to another kind of file than `suffixes`; if `strict`, every other suffix is wrong.
    """
    suffix = out.suffix.lower()
    if suffixes and (not out.name or out.is_dir()):
        raise ValueError(f"{out} is a folder; name a file in it")
    for known in inputs:
        if known is not None and _is_same(out, known):
            raise ValueError(f"{out} is the input; name another output")
        if known is not None and suffix not in APART and os.path.exists(out) and _real(known) in _real(out).parents:
            raise ValueError(f"{out} is part of the input {known}; name another output")
    if suffixes and suffix not in suffixes and (strict or suffix in KNOWN):
        raise ValueError(f"{out}: write {' or '.join(suffixes)}")


def _is_same(path: Path, other: Path) -> bool:
    return _real(path) == _real(other) or (
        os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other)
    )


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))  # Path.resolve raises for a link to itself


def check_target(path: Path) -> None:
    """Raises DdpmRtError unless `path` can be written."""
    check_writable(find_target(path).parent)


def check_writable(folder: Path) -> None:
    """Raises DdpmRtError unless a file can be created in `folder`."""
    if not folder.is_dir():
        raise DdpmRtError(f"{folder} is not a folder; make it first")
    try:
        with temporary_file(folder):
            pass
    except OSError as error:
        raise DdpmRtError(f"{folder} cannot be written to: {error.strerror}") from error
