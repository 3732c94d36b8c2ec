"""Ownership of an output folder: commands that do the same work share the folder, every other command is refused."""

import json
import os
import stat
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..errors import DdpmRtError
from ..stopping import undone_on_stop
from .file_lock import lock

LOCK = ".ddpm-rt.lock"
PART = ".ddpm-rt.{}.lock"
FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
LARGEST = 1 << 16  # most bytes that are read from a lock file
SHOWN = 120  # most characters of a command line in a message
PAUSE, PATIENCE = 0.01, 5.0  # seconds: the common lock is exclusive only while its file is being written

Say = Callable[[str], object]


@contextmanager
def owned_folder(folder: Path, work: Mapping[str, str], part: str, say: Say) -> Iterator[None]:
    """Own `folder` together with all processes of equal `work`; wait for a process that does the same `part` of it.

    `say` receives messages for the user. Raises DdpmRtError, which names the process, while the folder belongs to
    other work. On a file system without locks nothing is refused, and `say` receives a note.
    """
    common = _join(folder / LOCK, dict(work), say)
    if common is None:
        say(f"note: {folder} is on a file system without locks; do not run a second command in it at the same time")
        yield
        return
    with _released(folder / LOCK, common), exclusive(folder / PART.format(part), say):
        yield


@contextmanager
def exclusive(path: Path, say: Say = lambda line: None) -> Iterator[None]:
    """Hold the lock file `path` and remove it afterwards; `say` receives a line if another process holds it first.

    Does nothing on a file system without locks. Raises DdpmRtError if the file cannot be created.
    """
    with _released(path, _wait(path, say)):
        yield


@contextmanager
def _released(path: Path, descriptor: int) -> Iterator[None]:
    """Close the lock file afterwards. The last holder also removes it."""

    def release() -> None:
        if lock(descriptor) is not False and os.fstat(descriptor).st_nlink:
            path.unlink(missing_ok=True)
        os.close(descriptor)

    with undone_on_stop(release):
        try:
            yield
        finally:
            with suppress(OSError):
                release()


def _join(path: Path, work: dict[str, str], say: Say) -> int | None:
    """Open and lock the common lock file; None without locks. The first process writes `work` into the file."""
    end = time.monotonic() + PATIENCE
    while True:
        descriptor = _open(path)
        is_first = lock(descriptor)
        if is_first is None:
            os.close(descriptor)
            path.unlink(missing_ok=True)
            return None
        if is_first:
            _write(descriptor, work)
        is_shared = lock(descriptor, shared=True)  # the change is not atomic: another process may lock in between
        if is_shared and os.fstat(descriptor).st_nlink:
            other = _read(descriptor)
            if other.get("work") == work:
                return descriptor
            os.close(descriptor)
            raise DdpmRtError(_refusal(path.parent, other, work))
        late = _read(descriptor) if not is_shared and time.monotonic() > end else None
        os.close(descriptor)
        if late is not None:  # another process still holds the lock exclusively
            raise DdpmRtError(_refusal(path.parent, late, work))
        time.sleep(PAUSE)


def _wait(path: Path, say: Say) -> int:
    """Open and lock the lock file of a part, after waiting for any process that holds it."""
    while True:
        descriptor = _open(path)
        if lock(descriptor) is False:
            say(f"waiting for {_process(_read(descriptor))}, which runs the same command")
            lock(descriptor, wait=True)
        if os.fstat(descriptor).st_nlink:
            _write(descriptor, {})
            return descriptor
        os.close(descriptor)  # the last holder has removed the file


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, FLAGS, 0o666)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    except OSError as error:
        raise DdpmRtError(f"{path} cannot be written: {error.strerror}") from error
    raise DdpmRtError(f"{path} is not a regular file; remove it, or use another folder")


def _write(descriptor: int, work: Mapping[str, str]) -> None:
    content = json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv), "work": work}).encode()
    with suppress(OSError):  # on a full disk the lock still holds; only the messages of others say less
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content, 0)


def _read(descriptor: int) -> dict[str, Any]:
    try:
        content = json.loads(os.pread(descriptor, LARGEST, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _holder(folder: Path) -> dict[str, Any]:
    """The record of a process that works in the folder now. The process that wrote the common file may have ended."""
    for path in sorted(folder.glob(PART.format("*"))):
        with suppress(OSError):
            descriptor = os.open(path, FLAGS & ~os.O_CREAT)
            try:
                if lock(descriptor, shared=True) is False:
                    return _read(descriptor)
            finally:
                os.close(descriptor)
    return {}


def _refusal(folder: Path, other: dict[str, Any], work: Mapping[str, str]) -> str:
    theirs = other.get("work")
    known = theirs if isinstance(theirs, dict) else {}
    details = [
        f" with {key.removeprefix('ddpm-rt.')} {_shown(known[key])}, not {_shown(value)}"
        for key, value in work.items()
        if key in known and known[key] != value
    ]
    process = _process(_holder(folder) or other)
    return f"{folder} is in use by {process}{''.join(details[:1])}; wait for it, or use another folder"


def _process(other: dict[str, Any]) -> str:
    command = _shown(other.get("command", ""))
    return f"process {_shown(other.get('pid', 'unknown'))}" + (f" ({command})" if command else "")


def _shown(value: object) -> str:
    return (
        str(value)[:SHOWN].encode("unicode_escape").decode()
    )  # the file is untrusted: any user may have written into it
