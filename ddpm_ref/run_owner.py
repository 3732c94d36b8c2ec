"""The lock of a run's folder: only one process trains in it."""

import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from .atomic_file import FLAGS, try_lock
from .errors import OutputError
from .files import make_folder, writing

LOCK = ".ddpm-rt.lock"  # the name that `ddpm-rt sample` uses in a folder of samples
LARGEST = 1 << 16  # most bytes that are read from a lock file
SHOWN = 120  # most characters of a command line in a message


@contextmanager
def owned_run(folder: Path) -> Iterator[None]:
    """Create `folder` and hold its lock. Raises OutputError, which names the process, while another one holds it.

    The kernel releases the lock when the process ends. On a file system without locks, the function prints a note.
    """
    make_folder(folder)
    path = folder / LOCK
    with writing(path):
        descriptor = _locked(path)
    if descriptor is None:
        sys.stderr.write(f"note: {folder} is on a file system without locks; do not run a second command in it\n")
        yield
        return
    try:
        content = json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv), "work": {"run": "train"}})
        with suppress(OSError):  # a full disk: the lock still holds, only the message of others says less
            os.ftruncate(descriptor, 0)
            os.write(descriptor, content.encode())
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        os.close(descriptor)


def _locked(path: Path) -> int | None:
    """A descriptor of the lock file, locked; None on a file system without locks. Raises OSError or OutputError."""
    while True:
        descriptor = os.open(path, FLAGS | os.O_CREAT, 0o666)
        is_locked = try_lock(descriptor) if stat.S_ISREG(os.fstat(descriptor).st_mode) else False
        if is_locked and os.fstat(descriptor).st_nlink:
            return descriptor
        other = {} if is_locked else _read(descriptor)
        os.close(descriptor)
        if is_locked is None:
            path.unlink(missing_ok=True)
            return None
        if not is_locked:  # otherwise its last holder has just removed the file: try again
            raise OutputError(f"{path.parent} is in use by {_process(other)}; wait for it, or use another --out")


def _read(descriptor: int) -> dict[str, Any]:
    try:
        content = json.loads(os.read(descriptor, LARGEST))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _process(other: dict[str, Any]) -> str:
    command = _shown(other.get("command", ""))
    return f"process {_shown(other.get('pid', 'unknown'))}" + (f" ({command})" if command else "")


def _shown(value: object) -> str:
    return str(value)[:SHOWN].encode("unicode_escape").decode()  # anyone may have written to the file
