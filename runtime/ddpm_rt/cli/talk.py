"""What the command line prints: text from files and file names never reaches a terminal unescaped."""

import sys
from typing import Any

import click

from ..text import printable_lines


def say(text: str, *, err: bool = False) -> None:
    """Print lines whose characters are all printable, to stdout, or to stderr with `err`."""
    click.echo(printable_lines(text), err=err)


def progress_bar(length: int, label: str, *, quiet: bool, counted: bool = True) -> Any:
    """A bar on stderr, hidden where stderr is no terminal. With `counted` it shows N/length, else a percentage."""
    hidden = quiet or sys.stderr is None or not sys.stderr.isatty()
    return click.progressbar(length=length, label=label, file=sys.stderr, hidden=hidden, show_pos=counted)
