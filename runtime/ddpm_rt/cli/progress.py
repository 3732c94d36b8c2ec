"""The progress bar of the command line."""

import sys
from collections.abc import Iterator
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
