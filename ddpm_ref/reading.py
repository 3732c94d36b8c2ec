"""Reading files that strangers wrote: regular ones, of a size that was asked for, as data and never as code."""

import json
import pickle
import re
import stat
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .errors import CheckpointError, shown

MAX_JSON = 1 << 22  # bytes of a configuration: a hundred thousand betas, each in full
LFS = b"version https://git-lfs.github.com/spec/"  # how a pointer begins that Git LFS leaves in a file's place
FOREIGN_OBJECT = re.compile(r"GLOBAL ([\w.]+)")  # what torch says of a pickle's object that is no tensor


def check_regular(path: Path, *, empty: bool = False) -> int:
    """The size of a file. Raises CheckpointError if it is missing, no regular file, or a pointer of Git LFS.

    Also if there is nothing in it, unless it may be `empty`.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise CheckpointError(f"{path} is not a regular file")
        with path.open("rb") as file:
            head = file.read(len(LFS))
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{path} is missing") from None
    except OSError as error:  # a name that is too long, a link that leads to itself, no permission
        raise CheckpointError(f"{shown(str(path))} cannot be read: {error.strerror}") from error
    if not head and not empty:
        raise CheckpointError(f"{path} is empty")
    if head == LFS:
        raise CheckpointError(f"{path} is a pointer of Git LFS, not the file itself; run `git lfs pull` in its folder")
    return status.st_size


def read_json(path: Path, most: int = MAX_JSON) -> dict[str, Any]:
    """A JSON object of at most `most` bytes. Raises CheckpointError when there is none."""
    if (size := check_regular(path)) > most:
        raise CheckpointError(f"{path} has {size} bytes, more than the {most} that such a file may have")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:  # ValueError: no UTF-8, no JSON, too many digits
        raise CheckpointError(f"{path} cannot be read: {first_line(error)}") from error
    if not isinstance(raw, dict):
        raise CheckpointError(f"{path} is not a JSON object")
    return raw


def first_line(error: BaseException) -> str:
    """What an exception says in its first line, or its name."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file. Raises CheckpointError."""
    from safetensors.torch import load_file

    check_regular(path)
    try:
        return load_file(path)
    except Exception as error:  # the library's own, the system's, and KeyError for a type that it does not know
        raise CheckpointError(f"{path} cannot be read: {first_line(error)}") from error


def load_tensors(path: Path, device: torch.device | str = "cpu", *, mmap: bool | None = None) -> dict[str, Any]:
    """What `torch.save` wrote, tensors and plain values only: a pickle can run code. Raises CheckpointError.

    `mmap` maps the tensors instead of reading them.
    """
    check_regular(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle's protocol, before it is refused
            content: dict[str, Any] = torch.load(path, map_location=device, weights_only=True, mmap=mmap)
        return content
    except pickle.UnpicklingError as error:
        found = FOREIGN_OBJECT.search(str(error))
        what = f" ({found[1][:60]})" if found else ""
        raise CheckpointError(
            f"{path} is damaged, or holds more than tensors and plain values{what}; save its state dict alone"
        ) from error
    except Exception as error:  # of a damaged pickle, anything
        what = f"{type(error).__name__}: {first_line(error)}"
        raise CheckpointError(f"{path} is damaged, or no file that `torch.save` wrote ({what})") from error


def state_dict(content: object, source: Path) -> dict[str, Tensor]:
    """`content`, if it is a mapping from names to tensors. Raises CheckpointError otherwise."""
    if not isinstance(content, dict) or not content:
        raise CheckpointError(f"{source} holds no state dict, but {type(content).__name__}")
    for name, value in content.items():
        if not isinstance(name, str) or not isinstance(value, Tensor):
            raise CheckpointError(f"{source} is no state dict: {shown(name)} is {type(value).__name__}, not a tensor")
    return content
