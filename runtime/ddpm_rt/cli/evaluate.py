"""`ddpm-rt evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..limits import MAX_COUNT
from .options import NUMBER, PATH, engine_options, request_options, sampler_options
from .progress import progress_bar
from .talk import say

if TYPE_CHECKING:
    from ..engine import Engine
    from ..requests.request import Request
    from .options import ChosenEngine


@click.command()
@engine_options
@click.option("--data", required=True, type=PATH, metavar="PATH",
              help="Real images: an .npz or .npy, or a folder of pictures.")  # fmt: skip
@click.option("--array", metavar="NAME", help="Array of the .npz. [default: train_images, images, x_train or arr_0]")
@click.option("--features", type=PATH, metavar="FILE.onnx",
              help="Network whose first output are the features. [default: coarse pixels]")  # fmt: skip
@click.option("--count", type=click.IntRange(8, MAX_COUNT), default=2048, show_default=True, help="How many samples.")
@click.option("--first", type=NUMBER, default=0, show_default=True, help="Number of the first sample.")
@sampler_options
@click.option("--steps-file", type=PATH, metavar="FILE",
              help="A sampler that `ddpm-rt steps` or `tune` compiled; replaces the options above.")  # fmt: skip
@request_options
@click.option("--resamples", type=click.IntRange(min=2), default=100, show_default=True, help="Of the bootstrap.")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def evaluate(
    engine: "ChosenEngine", data: Path, array: str | None, features: Path | None, steps_file: Path | None,
    resamples: int, quiet: bool, as_json: bool, **asked: Any,
) -> None:  # fmt: skip
    """Measure how close the samples of a model are to real images.

    \b
    ddpm-rt evaluate unet.onnx --data images.npz --features inception.onnx --count 10000
    ddpm-rt evaluate unet.onnx --data images/ --sampler fitted --steps 8
    Frechet and kernel distance, precision and recall, each with a margin, and the same
    of real images: the floor. With Inception's features these are FID and KID.
    """
    from ..engines.opening import open_engine
    from ..evaluate import FeatureNetwork, PooledPixels, RealImages, Resampling
    from ..evaluate import evaluate as run
    from ..evaluate.report import describe, to_json
    from ..images.output import picture_shape

    try:
        with open_engine(engine.model, engine.options) as opened:
            request = _request(opened, engine.model, steps_file, asked)
            if (shape := picture_shape(opened.card, None)) is None:
                raise ValueError("the model draws no pictures, and only pictures can be evaluated")
            real = RealImages.open(data, shape, array)
            network = PooledPixels() if features is None else FeatureNetwork(features, engine.options.threads)
            bound = request.bind(opened.card)
            with progress_bar(bound.calls_for(request.samples), "sampling", quiet=quiet) as bar:
                found = run(opened, request, real, network, Resampling(resamples=resamples), lambda: bar.update(1))
            facts = {
                "model": engine.model.name, "model_sha256": opened.model_sha256(), "precision": opened.card.precision,
                "sampler": bound.sampler.sampler, "seed": request.seed, "first": request.first,
                "guidance": request.guidance, "data": real.name, "features": network.describe(),
            }  # fmt: skip
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    say(to_json(found, facts) if as_json else describe(found, facts))


def _request(engine: "Engine", model: Path, steps_file: Path | None, asked: dict[str, Any]) -> "Request":
    from ..artifacts.steps_file import read_steps
    from ..requests.fitted import with_fitted
    from ..requests.request import Request

    compiled = None if steps_file is None else read_steps(steps_file, engine.card)
    return Request(**with_fitted({**asked, "compiled": compiled}, model, engine.card))
