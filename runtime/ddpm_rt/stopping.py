"""How a command stops on SIGINT, SIGTERM and SIGHUP: at once, in one line, and without temporary files.

A handler that raises KeyboardInterrupt is not enough: an exception that is raised while a library loads, in a callback
of C or in a finalizer is printed as a traceback, turned into another error, or lost. The handler here therefore undoes
the work in progress and ends the process itself. Every command survives this as it survives SIGKILL.

This module is loaded first in a command, so it imports only modules that Python itself has loaded already.
"""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
WORDS = {"SIGINT": "interrupted", "SIGTERM": "terminated", "SIGHUP": "hung up"}
SHOW_CURSOR = b"\x1b[?25h\n"  # a progress bar hides the cursor while it is shown on a terminal
NOTHING_LEFT = "no partial file is left"

_undo: dict[object, Callable[[], object]] = {}
_lines: list[Callable[[], str]] = []


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Within this context, which is the whole command, the three signals end the process with 128 + their number.

    An ignored signal stays ignored. After the context all three are ignored, because the command is done, and Python
    restores the default handlers when it exits.
    """
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and background jobs of scripts ignore them
            signal.signal(number, _stop)
    try:
        yield
    finally:
        _ignore_signals()


def _ignore_signals() -> None:
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def undone_on_stop(undo: Callable[[], object]) -> Iterator[None]:
    """Within this context a stop calls `undo`, which may run between any two operations of the main thread."""
    key = object()
    _undo[key] = undo
    try:
        yield
    finally:
        del _undo[key]


@contextmanager
def line_on_stop(line: Callable[[], str]) -> Iterator[None]:
    """Within this context a stop prints `line()` after the word for its signal. A KeyboardInterrupt gets this text."""
    _lines.append(line)
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.args = stop.args or (stop_line(),)
        raise
    finally:
        _lines.pop()


def stop_line(number: int = signal.SIGINT) -> str:
    """The line for a stop at this moment, from the innermost `line_on_stop`."""
    detail = NOTHING_LEFT
    with suppress(Exception):
        detail = _lines[-1]() if _lines else detail
    return f"{WORDS[signal.Signals(number).name]}; {detail}"


def _stop(number: int, frame: FrameType | None) -> None:
    _ignore_signals()  # a second Ctrl-C must not interrupt the clean-up
    line = stop_line(number)
    for undo in reversed(list(_undo.values())):
        with suppress(Exception):
            undo()
    with suppress(OSError):
        start = SHOW_CURSOR if os.isatty(2) else b""
        os.write(2, start + line.encode("utf-8", "backslashreplace") + b"\n")
    os._exit(128 + number)
