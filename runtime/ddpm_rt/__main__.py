"""The program: `python -m ddpm_rt` and the console script `ddpm-rt`."""

import io
import os
import sys
from typing import Any

from .stopping import stopped_by_signals


def run() -> None:
    """Run the command line of `sys.argv`. Signals are handled before the slow imports start."""
    with stopped_by_signals():
        _open_standard_streams()
        from .cli import main

        main(prog_name="ddpm-rt")


def _open_standard_streams() -> None:
    """Open closed standard streams, and let each stream write whole lines.

    Without a stream, the next file would get its number and the output of libraries.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    sys.stdout, sys.stderr = map(_complete, (sys.stdout, sys.stderr))
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) == "strict":  # a file name may contain bytes that are not text
            stream.reconfigure(errors="backslashreplace")


def _complete(stream: Any) -> Any:
    """The stream, or one that writes all of a line where Python was told not to buffer (PYTHONUNBUFFERED).

    Unbuffered, Python loses the rest of a line without an error if the disk has room for its first part only.
    """
    raw = getattr(stream, "buffer", None)
    if not isinstance(raw, io.RawIOBase):
        return stream
    return io.TextIOWrapper(io.BufferedWriter(raw), encoding=stream.encoding, errors=stream.errors, line_buffering=True)


if __name__ == "__main__":
    run()
