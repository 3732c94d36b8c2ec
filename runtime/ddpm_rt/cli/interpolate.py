"""`ddpm-rt interpolate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..limits import MAX_COUNT
from .inputs import Values, input_options, paths_of, read_inputs
from .options import (
    NUMBER,
    engine_options,
    out_options,
    request_options,
    sampler_options,
)

if TYPE_CHECKING:
    from ..artifacts.card import ModelCard
    from .options import ChosenEngine


@click.command()
@click.option("--from", "start", type=NUMBER, required=True, metavar="I", help="Number of the sample to begin with.")
@click.option("--to", "end", type=NUMBER, required=True, metavar="J", help="Number of the sample to end with.")
@click.option("--frames", type=click.IntRange(2, MAX_COUNT), default=8, show_default=True, help="Both ends included.")
@engine_options
@sampler_options
@request_options
@input_options
@out_options
def interpolate(
    engine: "ChosenEngine", out: Path, scale: int, quiet: bool, frames: int, start: int, end: int,
    inputs: Values, null_inputs: Values, resize: bool, **asked: Any,
) -> None:  # fmt: skip
    """Draw the images between two samples of a seed.

    \b
    ddpm-rt interpolate --from 0 --to 3 --frames 12 --out between.png
    """
    from ..requests.fitted import with_fitted
    from ..requests.interpolation import Between
    from .drawing import draw_images

    def ask(card: "ModelCard") -> Between:
        wanted = with_fitted(asked, engine.model, card)
        given = read_inputs(card, inputs, resize=resize)
        null = read_inputs(card, null_inputs, resize=resize)
        return Between(start=start, end=end, count=frames, inputs=given, null_inputs=null, **wanted)

    draw_images(ask, engine, out, scale=scale, quiet=quiet, inputs=paths_of(inputs, null_inputs))
