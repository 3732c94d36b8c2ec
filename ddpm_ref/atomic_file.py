"""Atomic replacement of a file. `ddpm_rt` has a twin of this module, with the same names for temporary files."""

import errno
import os
import re
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

TEMPORARY = re.compile(r"\.ddpm-rt\.[a-z]{16}\.tmp(\.\w{1,11})?")
SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
FLAGS = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # from fsync on some file systems

_swept: set[Path] = set()  # folders that this process has swept


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` on a new file with a random name beside `path`, flush the file to disk, and rename it to `path`.

    A symbolic link stays: its target is replaced. A replaced file keeps its mode. Signals are handled after the rename.
    Raises OSError, and leaves no temporary file, when a step fails, or when `path` exists and is not a regular file.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    mode = _mode_of(path)
    _sweep(target.parent)
    with signals_deferred(), _new_file(target) as temporary:
        if mode is not None:
            os.chmod(temporary, mode | stat.S_IRUSR | stat.S_IWUSR)
        write(temporary)
        _flush(temporary)
        if mode is not None:
            os.chmod(temporary, mode)
        os.replace(temporary, target)
        with suppress(OSError):  # some systems cannot flush a folder
            _flush(target.parent, os.O_RDONLY)


def _mode_of(path: Path) -> int | None:
    """The permission bits of a regular file; None if nothing has that name. Raises OSError for anything else."""
    try:
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe, a socket or a device")
    return stat.S_IMODE(mode) & 0o777


@contextmanager
def _new_file(target: Path) -> Iterator[Path]:
    """Create a file that this process locks; it is deleted at the end unless it was renamed."""
    name = "".join(chr(ord("a") + byte % 26) for byte in os.urandom(16))
    path = target.with_name(f".ddpm-rt.{name}.tmp")
    descriptor = os.open(path, FLAGS | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        if not try_lock(descriptor):
            os.close(descriptor)  # Windows cannot rename an open file
            descriptor = -1
        yield path
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)
        if descriptor >= 0:
            os.close(descriptor)


def try_lock(descriptor: int) -> bool | None:
    """Take the advisory lock of an open file, which ends with the process.

    True: taken. False: another process holds it. None: the file system has no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES) else None
    return True


@contextmanager
def signals_deferred() -> Iterator[None]:
    """Deliver SIGINT, SIGTERM and SIGHUP after this context. In other threads than the main one it does nothing."""
    heard: list[int] = []
    before = {}
    if threading.current_thread() is threading.main_thread():
        handlers = {number: signal.getsignal(number) for number in SIGNALS}
        before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
        for number in before:
            signal.signal(number, lambda number, frame: heard.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for number in heard:
            signal.raise_signal(number)


def _sweep(folder: Path) -> None:
    """Remove the temporary files of dead processes, which hold no lock. Runs once per process and folder."""
    if folder in _swept:
        return
    _swept.add(folder)
    with suppress(OSError):
        for path in [path for path in folder.iterdir() if TEMPORARY.fullmatch(path.name)]:
            with suppress(OSError):
                _remove_if_dead(path)


def _remove_if_dead(path: Path) -> None:
    descriptor = os.open(path, FLAGS)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and try_lock(descriptor):
            path.unlink()
    finally:
        os.close(descriptor)


def _flush(path: Path, flags: int = FLAGS) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)
