"""Writing files so that nobody ever sees half of one."""

import os
from collections.abc import Callable
from pathlib import Path

from ..errors import DdpmRtError


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Call `write` on a sibling temporary file, then rename it to `path`. Raises DdpmRtError when that fails.

    The temporary file is gone afterwards, whatever happened, an interrupt included.
    """
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        write(temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise DdpmRtError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
