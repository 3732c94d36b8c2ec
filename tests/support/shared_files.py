"""Files that the first worker of a test session makes, for all workers."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path


class SharedFiles:
    """Folders below `root` that all workers of a session share. Tests must not change their content."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(mode=0o700, exist_ok=True)

    def folder(self, name: str, make: Callable[[Path], object]) -> Path:
        """The folder `name`, which the first caller fills with `make(folder)`; other workers wait.

        If `make` raises, no folder remains, and the next caller tries again.
        """
        path, part = self.root / name, self.root / f"{name}.part"
        with (self.root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # the system lets it go with the file, also when the process dies
            if not path.exists():
                shutil.rmtree(part, ignore_errors=True)
                part.mkdir()
                make(part)
                part.rename(path)
        return path
