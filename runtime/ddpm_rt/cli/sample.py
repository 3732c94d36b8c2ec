"""`ddpm-rt sample`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..limits import MAX_COUNT
from .inputs import Values, input_options, paths_of, read_inputs
from .options import (
    NUMBER,
    PATH,
    ShardType,
    engine_options,
    out_options,
    request_options,
    sampler_options,
    start_options,
)
from .talk import say

if TYPE_CHECKING:
    from ..artifacts.card import ModelCard
    from ..requests.request import Request
    from ..requests.shard import Shard
    from .options import ChosenEngine


class NoSamples(Exception):
    """A shard without samples, which is no failure: a job array may have more jobs than there are batches."""


@contextmanager
def no_samples_are_a_line() -> Iterator[None]:
    try:
        yield
    except NoSamples as nothing:
        say(str(nothing))


COUNT = 16  # samples, unless an .npy to start from says otherwise


@click.command()
@engine_options
@sampler_options
@click.option("--steps-file", type=PATH, metavar="FILE",
              help="A sampler that `ddpm-rt steps` compiled; replaces the options above.")  # fmt: skip
@request_options
@input_options
@click.option("--first", type=NUMBER, default=0, show_default=True, help="Number of the first sample.")
@click.option("--count", type=click.IntRange(1, MAX_COUNT),
              help="How many samples. [default: 16, or as many as the .npy to start from holds]")  # fmt: skip
@click.option("--shard", type=ShardType(), metavar="I/N",
              help="Draw part I of N of these samples, from 0: whole batches, side by side.")  # fmt: skip
@start_options
@out_options
def sample(
    engine: "ChosenEngine", out: Path, scale: int, quiet: bool, steps_file: Path | None,
    count: int | None, shard: "Shard | None",
    init_image: Path | None, strength: float | None, mask: Path | None, resample: int | None, init_noise: Path | None,
    inputs: Values, null_inputs: Values, resize: bool, **asked: Any,
) -> None:  # fmt: skip
    """Draw images from a model, the bundled one by default.

    \b
    ddpm-rt sample
    ddpm-rt sample unet.onnx --sampler ddpm --steps 1000 --count 64 --out pictures/
    ddpm-rt sample --sampler dpm++ --steps 20 --spacing logsnr
    ddpm-rt sample unet.onnx --sampler fitted --steps 8
    ddpm-rt sample --init-image digit.png --strength 0.4 --count 4
    ddpm-rt sample sr3.onnx --input low_res=photo.png --count 4
    ddpm-rt sample --count 50000 --shard 3/50 --out pictures/
    ddpm-rt sample --count 4 --scale 8 --out large.png
    """
    from ..artifacts.steps_file import read_steps
    from ..requests.fitted import with_fitted
    from ..requests.request import Request
    from ..requests.shard import part_of
    from .drawing import draw_images
    from .initial_state import with_initial_state

    def ask(card: "ModelCard") -> "Request":
        compiled = None if steps_file is None else read_steps(steps_file, card)
        wanted = with_fitted({**asked, "compiled": compiled}, engine.model, card)
        wanted["inputs"] = read_inputs(card, inputs, resize=resize)
        wanted["null_inputs"] = read_inputs(card, null_inputs, resize=resize)
        request = Request(count=COUNT if count is None else count, **wanted)
        whole = with_initial_state(
            request, card, init_image=init_image, strength=strength, mask=mask, resample=resample,
            init_noise=init_noise, count_from_file=count is None,
        )  # fmt: skip
        part = whole if shard is None else part_of(whole, shard)
        if part is None:
            raise NoSamples(f"shard {shard} has no samples: there are more shards than batches")
        return part

    read = [steps_file, init_image, mask, init_noise, *paths_of(inputs, null_inputs)]
    with no_samples_are_a_line():
        draw_images(ask, engine, out, scale=scale, quiet=quiet, inputs=read)
