"""The one writer of files: nobody ever sees half of a file, and only regular files are replaced."""

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
UNSUPPORTED = (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP)  # of fsync on some file systems
KINDS = {stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket", stat.S_IFCHR: "a device", stat.S_IFBLK: "a device"}

_swept: set[str] = set()  # folders


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` on an empty temporary file, flush it to the disk, then rename it to `path`.

    The temporary file lies in the folder of `path`, has its suffix and a random name, and is gone afterwards whatever
    happened, an interrupt included; that of a process which was killed is removed by the next write into the folder.
    A link is written through to the file that it leads to; the mode of a file that is replaced is kept. Raises
    DdpmRtError for a target that is no regular file and for everything that the system refuses.
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
    """The file that a write to `path` makes or replaces: where a link leads to, else `path`.

    Raises DdpmRtError for anything but a regular file or a free name: a rename would put a file in the place of a pipe
    or a device.
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
        what = KINDS.get(kind, "no regular file")
        raise DdpmRtError(f"{path} cannot be written: it is {what}; name a regular file or a new one")
    return target


def _check_link(path: Path) -> None:
    """Raises PermissionError for a link of another user in a public sticky folder, which Linux does not open either."""
    if not path.is_symlink():
        return
    link, folder = os.lstat(path), os.stat(path.parent)
    is_public = folder.st_mode & stat.S_ISVTX and folder.st_mode & stat.S_IWOTH
    if is_public and link.st_uid not in (os.geteuid(), folder.st_uid):
        raise PermissionError(errno.EACCES, "it is a link of another user in a shared folder")


def _mode(target: Path) -> int | None:
    """The permissions of a file that is there already."""
    try:
        return stat.S_IMODE(os.stat(target).st_mode) & 0o777
    except FileNotFoundError:
        return None


@contextmanager
def temporary_file(folder: Path, suffix: str = "", mode: int | None = None) -> Iterator[Path]:
    """A new empty file of a random name in `folder`, which is gone afterwards unless it was renamed. Raises OSError.

    Its process holds a lock on it. `mode` are its permissions, to which those to read and write it are added; by
    default it has those of any new file.
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
    """Make the file and lock it: its descriptor, or None where there are no locks. Raises OSError."""
    while True:
        descriptor = os.open(path, NEW, 0o666)
        is_locked = lock(descriptor, wait=True)
        if is_locked and os.fstat(descriptor).st_nlink:
            return descriptor
        os.close(descriptor)  # also because Windows renames no file that is open
        if not is_locked:
            return None  # else another process swept the file before it was locked


def _free_name(folder: Path, suffix: str) -> Path:
    """Of a fixed length, so that any name which the file system takes can be written. Nobody can foresee it."""
    name = "".join(chr(ord("a") + byte % 26) for byte in os.urandom(16))
    path = folder / f".ddpm-rt.{name}.tmp{suffix}"
    return path if TEMPORARY.fullmatch(path.name) else path.with_suffix("")


def _sweep(folder: Path) -> None:
    """Remove the temporary files of dead processes: those that nobody holds a lock on. Once a process and folder.

    A lock tells more than the number of a process, which means nothing to another container or machine.
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
    """So that the new name outlives a power cut. The file itself is whole in any case."""
    with suppress(OSError):  # Windows and some network file systems refuse it
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
