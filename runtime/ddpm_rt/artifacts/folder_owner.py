"""Who works in a folder: commands that do the same work share it, any other command is refused."""

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
LARGEST = 1 << 16  # bytes of a lock file that are read
SHOWN = 120  # characters of a command line in a message
PAUSE, PATIENCE = 0.01, 5.0  # seconds: a lock is exclusive only while its file is written

Say = Callable[[str], object]


@contextmanager
def owned_folder(folder: Path, work: Mapping[str, str], part: str, say: Say) -> Iterator[None]:
    """Own `folder` together with every process of an equal `work`; one that does the same `part` of it is waited for.

    `say` gets the lines that a person should see. Raises DdpmRtError, which names the process, while another work has
    the folder. On a file system without locks nothing is refused, and `say` gets a line about that.
    """
    common = _join(folder / LOCK, dict(work), say)
    if common is None:
        say(f"note: {folder} is on a file system without locks; run no second command in it at the same time")
        yield
        return
    with _released(folder / LOCK, common), exclusive(folder / PART.format(part), say):
        yield


@contextmanager
def exclusive(path: Path, say: Say = lambda line: None) -> Iterator[None]:
    """Hold the lock file `path`, which is removed afterwards; `say` gets a line if another process is waited for.

    On a file system without locks it holds nothing. Raises DdpmRtError where the file cannot be made.
    """
    with _released(path, _wait(path, say)):
        yield


@contextmanager
def _released(path: Path, descriptor: int) -> Iterator[None]:
    """Remove the lock file of the last holder, and close it."""

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
    """The lock file, locked for this work; None without locks. The first of several writes what the work is."""
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
        is_shared = lock(descriptor, shared=True)  # not in one move: another process may have been faster
        if is_shared and os.fstat(descriptor).st_nlink:
            other = _read(descriptor)
            if other.get("work") == work:
                return descriptor
            os.close(descriptor)
            raise DdpmRtError(_refusal(path.parent, other, work))
        late = _read(descriptor) if not is_shared and time.monotonic() > end else None
        os.close(descriptor)
        if late is not None:  # held by something that does not share
            raise DdpmRtError(_refusal(path.parent, late, work))
        time.sleep(PAUSE)


def _wait(path: Path, say: Say) -> int:
    """The lock file of a part, locked; another process that has it is waited for."""
    while True:
        descriptor = _open(path)
        if lock(descriptor) is False:
            say(f"waiting for {_process(_read(descriptor))}, which runs the same command")
            lock(descriptor, wait=True)
        if os.fstat(descriptor).st_nlink:
            _write(descriptor, {})
            return descriptor
        os.close(descriptor)  # its last holder has removed it


def _open(path: Path) -> int:
    try:
        descriptor = os.open(path, FLAGS, 0o666)
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            return descriptor
        os.close(descriptor)
    except OSError as error:
        raise DdpmRtError(f"{path} cannot be written: {error.strerror}") from error
    raise DdpmRtError(f"{path} is no regular file; remove it, or use another folder")


def _write(descriptor: int, work: Mapping[str, str]) -> None:
    content = json.dumps({"pid": os.getpid(), "command": " ".join(sys.argv), "work": work}).encode()
    with suppress(OSError):  # a full disk: the lock holds, its file says less
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, content, 0)


def _read(descriptor: int) -> dict[str, Any]:
    try:
        content = json.loads(os.pread(descriptor, LARGEST, 0))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _holder(folder: Path) -> dict[str, Any]:
    """A process that works in the folder now: the one that wrote what the work is may have ended."""
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
    return str(value)[:SHOWN].encode("unicode_escape").decode()  # anybody may have written into the file
