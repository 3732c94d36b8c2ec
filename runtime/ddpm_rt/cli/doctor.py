"""`ddpm-rt doctor`."""

import json

import click

from .talk import say


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def doctor(as_json: bool) -> None:
    """Show this machine's hardware and packages, which commands work, and what the others need."""
    from ..inspection.doctor import describe, facts

    found = facts()
    say(json.dumps(found, indent=2) if as_json else describe(found))
