"""How a command stops on SIGINT, SIGTERM and SIGHUP: at once, in one line, and without temporary files.

A handler that raises KeyboardInterrupt is not enough: what is raised while a library is loaded, in a callback of C or
in a finalizer is printed as a traceback, turned into another error, or lost. The handler here therefore undoes what is
under way and ends the process itself. A whole command is as safe against it as against SIGKILL, which nothing handles.

This module is loaded before anything else of a command, so it imports only what Python itself has loaded already.
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

    A signal that is ignored stays ignored. After the context all are, because the command is done: while Python ends,
    it would let a signal kill the process.
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
    """Within this context a stop says `line()` after the word for its signal. A KeyboardInterrupt gets that text."""
    _lines.append(line)
    try:
        yield
    except KeyboardInterrupt as stop:
        stop.args = stop.args or (stop_line(),)
        raise
    finally:
        _lines.pop()


def stop_line(number: int = signal.SIGINT) -> str:
    """The line for a stop at this moment: the innermost `line_on_stop` speaks."""
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
