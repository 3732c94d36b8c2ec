"""A progress bar whose end may come early."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def progress_bar(length: int, label: str, quiet: bool) -> Iterator[Callable[[], None]]:
    """Yields what advances the bar by one. The bar is on stderr, hidden where stderr is no terminal."""
    hidden = quiet or sys.stderr is None or not sys.stderr.isatty()
    with click.progressbar(length=length, label=label, file=sys.stderr, hidden=hidden) as bar:
        yield lambda: bar.update(1)
        bar.update(max(0, length - bar.pos))
