"""Files that a session of tests makes once, whichever of its workers asks for them first."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path


class SharedFiles:
    """Folders below `root`, which all workers of a session have in common. What is in them is not to be changed."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(mode=0o700, exist_ok=True)

    def folder(self, name: str, make: Callable[[Path], object]) -> Path:
        """The folder `name`, filled by `make(folder)` if it is not there; another worker that asks meanwhile waits.

        A `make` that raises leaves no folder: the next to ask tries again, and fails with its own error.
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
