"""What the command line prints: text from files and file names never reaches a terminal unescaped."""

import click

from ..text import printable_lines


def say(text: str, *, err: bool = False) -> None:
    """Print lines whose characters are all printable, to stdout, or to stderr with `err`."""
    click.echo(printable_lines(text), err=err)
