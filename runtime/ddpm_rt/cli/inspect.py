"""`ddpm-rt inspect`."""

import json
from pathlib import Path

import click

from .options import PATH
from .talk import say


@click.command()
@click.argument("file", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="All facts as JSON, including the betas.")
def inspect(file: Path, as_json: bool) -> None:
    """Show the facts about a model: shape, prediction, betas, precision, provenance."""
    from ..artifacts.plan_record import is_plan
    from ..inspection import model, plan

    kind = plan if is_plan(file) else model
    found = kind.facts(file)
    say(json.dumps(found, indent=2) if as_json else kind.describe(found))
