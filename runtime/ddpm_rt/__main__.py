"""`python -m ddpm_rt` and the console script `ddpm-rt`: a process from its first line to its exit code."""

import os
import sys

from .stopping import stopped_by_signals


def run() -> None:
    """Runs the command line of `sys.argv`. The signals are handled before the slow imports begin."""
    with stopped_by_signals():
        _open_standard_streams()
        from .cli import main

        main(prog_name="ddpm-rt")


def _open_standard_streams() -> None:
    """A closed stream would give its number to the next file, which then receives what libraries print."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for stream in (sys.stdout, sys.stderr):
        if getattr(stream, "errors", None) == "strict":  # a file name may hold bytes that are no text
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


if __name__ == "__main__":
    run()
