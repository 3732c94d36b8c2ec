"""Advisory locks on open files, which the kernel releases when their process ends, however it ends."""

import errno
from contextlib import suppress

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


def lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> bool | None:
    """Take the lock of an open file, exclusive unless `shared`; a second call changes its kind.

    False: another process holds it. None: this system or its file system has no such locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return False if error.errno in HELD else None
    return True


def unlock(descriptor: int) -> None:
    """Release the lock; closing the file does it too."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_UN)
