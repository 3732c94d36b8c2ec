"""The program: `python -m ddpm_rt` and the console script `ddpm-rt`."""

import os
import sys

from .stopping import stopped_by_signals


def run() -> None:
    """Run the command line of `sys.argv`. Signals are handled before the slow imports start."""
    with stopped_by_signals():
        _open_standard_streams()
        from .cli import main

        main(prog_name="ddpm-rt")


def _open_standard_streams() -> None:
    """Open closed standard streams. Otherwise the next file would get their number and the output of libraries."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) == "strict":  # a file name may contain bytes that are not text
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


if __name__ == "__main__":
    run()
