"""Advisory locks on open files. The kernel releases them when their process ends, even when it is killed."""

import errno

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)


def lock(descriptor: int, *, shared: bool = False, wait: bool = False) -> bool | None:
    """Lock an open file, exclusively unless `shared`. A second call changes the mode of the lock.

    Closing the file releases the lock. Returns False if another process holds the lock, and None if the system or the
    file system has no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB))
    except OSError as error:
        return False if error.errno in HELD else None
    return True
