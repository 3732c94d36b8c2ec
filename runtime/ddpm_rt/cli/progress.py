"""How the command line shows progress: a bar, or a line with the current stage."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click


@contextmanager
def progress_bar(length: int, label: str, *, quiet: bool, counted: bool = True) -> Iterator[Any]:
    """A bar of click on stderr, hidden if stderr is no terminal. It shows N/length, or a percentage unless `counted`.

    The bar is filled at the end, because work may need fewer steps than `length`.
    """
    hidden = quiet or sys.stderr is None or not sys.stderr.isatty()
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=hidden, show_pos=counted) as bar:
        yield bar
        bar.update(max(0, length - bar.pos))


@contextmanager
def stage_line(quiet: bool) -> Iterator[Callable[[str], None]]:
    """Yields a function that shows the current stage and the elapsed time on one line, if stderr is a terminal."""
    if quiet or not sys.stderr.isatty():
        yield lambda stage: None
        return
    started, width = time.monotonic(), 0

    def report(stage: str) -> None:
        nonlocal width
        line = f"{time.monotonic() - started:3.0f} s  {stage} ..." if stage else ""
        click.echo(f"\r{line.ljust(width)}\r{line}", nl=False, err=True)
        width = len(line)

    try:
        yield report
    finally:
        report("")
