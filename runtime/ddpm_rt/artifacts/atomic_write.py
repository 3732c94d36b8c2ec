"""Atomic writes of files: readers never see half of a file, and only regular files are replaced."""

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import DdpmRtError
from ..stopping import undone_on_stop
from .file_lock import lock

TEMPORARY = re.compile(r"\.ddpm-rt\.[a-z]{16}\.tmp(\.\w{1,11})?")
NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
KNOWN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # from fsync on some file systems
SPECIAL = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}

_swept: set[str] = set()  # folders that this process has swept


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` on an empty temporary file, flush the file to the disk, then rename it to `path`.

    The temporary file has a random name in the folder of `path` and the same suffix. It is removed on every error and
    interrupt; if the process is killed, the next write into the folder removes it. If `path` is a symbolic link, its
    target is replaced. The new file has the permissions of the old one. Raises DdpmRtError for a target that is not a
    regular file and for every error of the system.
    """
    target = find_target(path)
    try:
        with temporary_file(target.parent, target.suffix, mode := _mode(target)) as temporary:
            write(temporary)
            _flush(temporary)
            if mode is not None:
                os.chmod(temporary, mode)
            os.replace(temporary, target)
            _flush_folder(target.parent)
    except OSError as error:
        raise DdpmRtError(f"{path} cannot be written: {error.strerror or error}") from error


def find_target(path: Path) -> Path:
    """The file that a write to `path` creates or replaces: the target of a symbolic link, else `path`.

    Raises DdpmRtError unless the target is a regular file or does not exist: a rename would replace a pipe or a device
    by a file.
    """
    try:
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        _check_link(path)
        kind = stat.S_IFMT(os.stat(path).st_mode)
    except FileNotFoundError:
        return target
    except OSError as error:
        raise DdpmRtError(f"{path} cannot be written: {error.strerror}") from error
    if kind == stat.S_IFDIR:
        raise DdpmRtError(f"{path} cannot be written: {os.strerror(errno.EISDIR)}")
    if kind != stat.S_IFREG:
        what = SPECIAL.get(kind, "not a regular file")
        raise DdpmRtError(f"{path} cannot be written: it is {what}; name a regular file or a new one")
    return target


def _check_link(path: Path) -> None:
    """Raises PermissionError for another user's link in a world-writable sticky folder, as Linux does by default."""
    if not path.is_symlink():
        return
    link, folder = os.lstat(path), os.stat(path.parent)
    is_public = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
    if is_public and link.st_uid not in (os.geteuid(), folder.st_uid):
        raise PermissionError(errno.EACCES, "it is a link of another user in a shared folder")


def _mode(target: Path) -> int | None:
    """The permissions of an existing file, else None."""
    try:
        return stat.S_IMODE(os.stat(target).st_mode) & 0o777
    except FileNotFoundError:
        return None


@contextmanager
def temporary_file(folder: Path, suffix: str = "", mode: int | None = None) -> Iterator[Path]:
    """Create an empty file with a random name in `folder`, and remove it afterwards unless it was renamed.

    The process holds a lock on the file. The file gets the permissions `mode` and always those of its owner to read and
    write; by default it has the permissions of any new file. Raises OSError.
    """
    _sweep(folder)
    path = _free_name(folder, suffix)
    with undone_on_stop(lambda: path.unlink(missing_ok=True)):
        descriptor = _new_file(path)
        try:
            if mode is not None:
                os.chmod(path, mode | stat.S_IRUSR | stat.S_IWUSR)
            yield path
        finally:
            with suppress(OSError):
                path.unlink(missing_ok=True)
            if descriptor is not None:
                os.close(descriptor)


def _new_file(path: Path) -> int | None:
    """Create and lock the file. Returns its descriptor, or None without locks. Raises OSError."""
    while True:
        descriptor = os.open(path, NEW, 0o666)
        is_locked = lock(descriptor, wait=True)
        if is_locked and os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # Windows, where there are no locks, does not rename an open file
        if not is_locked:
            return None
        # Otherwise another process swept the file before it was locked.


def _free_name(folder: Path, suffix: str) -> Path:
    """An unpredictable name of fixed length, so that the length of the target's name does not add to it."""
    name = "".join(chr(ord("a") + byte % 26) for byte in os.urandom(16))
    path = folder / f".ddpm-rt.{name}.tmp{suffix}"
    return path if TEMPORARY.fullmatch(path.name) else path.with_suffix("")


def _sweep(folder: Path) -> None:
    """Remove the temporary files of dead processes, which nobody holds a lock on. Each process sweeps a folder once.

    Locks are used because a process id means nothing in another container or on another machine.
    """
    key = os.path.realpath(folder)
    if key in _swept:
        return
    _swept.add(key)
    with suppress(OSError), os.scandir(folder) as entries:
        for path in [entry.path for entry in entries if TEMPORARY.fullmatch(entry.name)]:
            with suppress(OSError):
                _remove_if_dead(path)


def _remove_if_dead(path: str) -> None:
    descriptor = os.open(path, KNOWN)
    try:
        if stat.S_ISREG(os.fstat(descriptor).st_mode) and lock(descriptor):
            os.unlink(path)
    finally:
        os.close(descriptor)


def _flush(path: Path) -> None:
    descriptor = os.open(path, KNOWN)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
    finally:
        os.close(descriptor)


def _flush_folder(folder: Path) -> None:
    """Make the rename survive a power failure. The file itself is complete without this."""
    with suppress(OSError):  # Windows and some network file systems refuse it
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
