"""`ddpm-rt invert`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .inputs import Values, input_options, paths_of, read_inputs
from .options import (
    PATH,
    STEPS,
    batch_option,
    label_option,
    model_option,
)

if TYPE_CHECKING:
    from ..artifacts.card import ModelCard
    from ..requests.inversion import Inversion
    from .options import ChosenEngine


@click.command()
@click.argument("image", type=PATH)
@click.option("-o", "--out", type=PATH, default="x_T.npy", show_default=True, help="The .npy to write.")
@model_option
@click.option("--steps", type=STEPS, help="Network calls per sample. [default: 50]")
@batch_option()
@label_option()
@input_options
def invert(
    image: Path, engine: "ChosenEngine", out: Path, quiet: bool,
    inputs: Values, null_inputs: Values, resize: bool, **asked: Any,
) -> None:  # fmt: skip
    """Find the noise that DDIM draws a picture from.

    \b
    ddpm-rt invert digit.png -o x_T.npy --steps 100
    ddpm-rt sample --init-noise x_T.npy --steps 100 --out digit-again.png
    """
    from ..images.read import load_images
    from ..requests.inversion import Inversion
    from .drawing import draw_images

    if out.suffix != ".npy":
        raise click.UsageError(f"{out}: write .npy")

    def ask(card: "ModelCard") -> "Inversion":
        images = load_images(image, card.image_shape, is_latent=card.latents is not None)
        given = read_inputs(card, inputs, resize=resize)
        null = read_inputs(card, null_inputs, resize=resize)
        return Inversion(noise=images, count=len(images), inputs=given, null_inputs=null, **asked)

    draw_images(ask, engine, out, quiet=quiet, inputs=[image, *paths_of(inputs, null_inputs)])
