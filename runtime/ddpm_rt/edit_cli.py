"""`ddpm-rt edit`, `interpolate` and `invert`."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

PATH = click.Path(path_type=Path)
NUMBER = click.IntRange(0, 2**64 - 1)


def sampling(command: Callable[..., None]) -> Callable[..., None]:
    """The options that the verbs share."""
    for option in reversed(
        [
            click.option("--engine", type=PATH, metavar="FILE", help="Model to run. [default: bundled, MNIST]"),
            click.option("--steps", type=click.IntRange(min=1), default=50, show_default=True,
                         help="Of the whole chain, from noise to image."),
            click.option("--batch", type=click.IntRange(min=1), default=16, show_default=True,
                         help="Images to a call of the network."),
            click.option("--threads", type=click.IntRange(min=1), help="CPU threads. [default: all cores]"),
            click.option("--quiet", is_flag=True, help="No progress bar."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


def drawing(command: Callable[..., None]) -> Callable[..., None]:
    """The options of the verbs that end with images."""
    for option in reversed(
        [
            click.option("--sampler", type=click.Choice(["ddpm", "ddim"]), default="ddim", show_default=True),
            click.option("--eta", type=click.FloatRange(0, 1), help="Noise of ddim: 0 none, 1 as ddpm. [default: 0]"),
            click.option("--seed", type=NUMBER, default=0, show_default=True),
            click.option("--out", default="samples.png", show_default=True, metavar="PATH",
                         help="x.png a grid, x.gif or x.webp an animation, x.npy the numbers, DIR/ a PNG each."),
        ]
    ):  # fmt: skip
        command = option(command)
    return command


@click.command()
@click.option("--init-image", type=PATH, metavar="FILE", help="Begin with this picture, or .npy of one or many.")
@click.option("--init-noise", type=PATH, metavar="X_T.npy", help="Begin with this noise, as `invert` writes it.")
@click.option("--strength", type=float, metavar="S", help="Share of the steps to run. [default: 0.5, with --mask 1]")
@click.option("--mask", type=PATH, metavar="FILE", help="White is drawn anew, black is kept of the picture.")
@click.option("--resample", type=click.IntRange(min=1), help="Times to go each step with --mask. [default: 1]")
@click.option("--first", type=NUMBER, default=0, show_default=True, help="Number of the first sample.")
@click.option("--count", type=click.IntRange(min=1), help="How many samples. [default: 16, or as many as the .npy has]")
@sampling
@drawing
def edit(
    engine: Path | None, out: str, threads: int | None, quiet: bool, count: int | None, first: int, **asked: Any
) -> None:
    """Draw images from a picture, a part of a picture, or given noise.

    \b
    ddpm-rt edit --init-image digit.png --strength 0.4 --count 4
    ddpm-rt edit --init-image digit.png --mask half.png --resample 4
    ddpm-rt edit --init-noise x_T.npy --steps 100
    """
    from .request import Request

    given = {key: asked.pop(key) for key in ("init_image", "init_noise", "strength", "mask", "resample")}

    def ask(card: Any) -> Any:
        if given["init_image"] is None and given["init_noise"] is None:
            raise ValueError("give --init-image or --init-noise")
        request = Request(count=16 if count is None else count, first=first, **asked)
        return edited(request, card, **given, count_as_given=count is None)

    _draw(ask, engine, Path(out), threads=threads, quiet=quiet)


def edited(
    request: Any,
    card: Any,
    *,
    init_image: Path | None = None,
    init_noise: Path | None = None,
    strength: float | None = None,
    mask: Path | None = None,
    resample: int | None = None,
    count_as_given: bool = False,
) -> Any:
    """`request` begun with what the files hold; itself where there is none.

    `count_as_given`: an .npy of several images or noises says how many samples there are. Raises ValueError for
    options that do not go together or files that do not fit the model, DdpmRtError for files that cannot be read.
    """
    from .draw import extended
    from .edit import Edit
    from .inversion import FromNoise
    from .load_image import load_array, load_images, load_mask

    if init_image is None and (strength, mask, resample) != (None, None, None):
        raise ValueError("--strength, --mask and --resample are options of --init-image")
    if init_image is not None and init_noise is not None:
        raise ValueError("give one of --init-image and --init-noise")
    if init_noise is not None:
        noise = load_array(init_noise, card.image_shape)
        return extended(FromNoise, request, noise=noise, **({"count": len(noise)} if count_as_given else {}))
    if init_image is None:
        return request
    images = load_images(init_image, card.image_shape)
    kept = None if mask is None else load_mask(mask, card.image_shape)
    more = {"count": len(images)} if count_as_given and len(images) > 1 else {}
    share = strength if strength is not None else 0.5 if mask is None else 1.0
    return extended(Edit, request, images=images, mask=kept, strength=share, resample=resample or 1, **more)


@click.command()
@click.option("--from", "start", type=NUMBER, required=True, metavar="I", help="Number of the sample to begin with.")
@click.option("--to", "end", type=NUMBER, required=True, metavar="J", help="Number of the sample to end with.")
@click.option("--frames", type=click.IntRange(min=2), default=8, show_default=True, help="Both ends included.")
@sampling
@drawing
def interpolate(
    engine: Path | None, out: str, threads: int | None, quiet: bool, frames: int, start: int, end: int, **asked: Any
) -> None:
    """Draw the images between two samples of a seed.

    \b
    ddpm-rt interpolate --from 0 --to 3 --frames 12 --out between.png
    """
    from .between import Between

    _draw(
        lambda card: Between(start=start, end=end, count=frames, **asked),
        engine,
        Path(out),
        threads=threads,
        quiet=quiet,
    )


@click.command()
@click.argument("image", type=PATH)
@click.option("-o", "--out", type=PATH, default="x_T.npy", show_default=True, help="The .npy to write.")
@sampling
def invert(image: Path, engine: Path | None, out: Path, threads: int | None, quiet: bool, **asked: Any) -> None:
    """Find the noise that DDIM draws a picture from.

    \b
    ddpm-rt invert digit.png -o x_T.npy --steps 100
    ddpm-rt edit --init-noise x_T.npy --steps 100 --out digit-again.png
    """
    from .inversion import Inversion
    from .load_image import load_images

    if out.suffix != ".npy":
        raise click.UsageError(f"{out}: write .npy")

    def ask(card: Any) -> Any:
        images = load_images(image, card.image_shape)
        return Inversion(noise=images, count=len(images), **asked)

    _draw(ask, engine, out, threads=threads, quiet=quiet)


def _draw(ask: Callable[[Any], Any], engine: Path | None, out: Path, *, threads: int | None, quiet: bool) -> None:
    """Open the model, ask for images with its card, and write them; one line says what was done."""
    from .api import open_denoiser
    from .inspect_model import file_sha256
    from .models import bundled_model
    from .output import Output

    model = engine or bundled_model()
    denoise = open_denoiser(model, threads=threads)
    try:
        request = ask(denoise.card)
        request.table(denoise.card)  # so that what does not fit is said before anything is made
        output = Output(out, request, file_sha256(model))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    rows = request.steps - getattr(request, "first_row", 0)
    calls = rows * len(range(0, len(output.missing()), request.batch))
    hidden = quiet or not sys.stderr.isatty()
    with click.progressbar(length=calls, label="sampling", file=sys.stderr, hidden=hidden, show_pos=True) as bar:
        outcome = output.draw(denoise, lambda step: bar.update(1))
    there = f" ({outcome.skipped} were there already)" if outcome.skipped else ""
    click.echo(f"{outcome.drawn} images: {out}{there}")
