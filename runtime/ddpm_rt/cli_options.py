"""The options that verbs share, and what click needs to read them."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from .dialects import DIALECTS
from .engine_choice import EngineChoice
from .samplers import SAMPLERS
from .schedule import Spacing

Command = TypeVar("Command", bound=Callable[..., Any])

PATH = click.Path(path_type=Path)
INTERRUPTED = 130  # the exit code that shells report of a program that Ctrl-C ended
NUMBER = click.IntRange(0, 2**64 - 1)  # of a seed or a sample


class Integers(click.ParamType):  # type: ignore[type-arg]
    """A comma list of integers."""

    name = "integers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return tuple(int(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not a list of integers such as 999,500,0", param, ctx)


def together(options: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order in which the help lists them."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


# What makes a `Recipe`.
sampler_options = together([
    click.option("--sampler", type=click.Choice(list(SAMPLERS)), help="[default: ddim]"),
    click.option("--steps", type=click.IntRange(min=1), help="Calls of the network a sample. [default: 50]"),
    click.option("--eta", type=click.FloatRange(0, 1), help="Noise of ddim: 0 none, 1 as ddpm. [default: 0]"),
    click.option("--spacing", type=click.Choice(get_args(Spacing)), help="Which timesteps. [default: the model's]"),
    click.option("--timesteps", type=Integers(), metavar="T,T,...", help="Listed, instead of steps and spacing."),
    click.option("--dialect", type=click.Choice(list(DIALECTS)), help="Whose details. [default: ho2020]"),
])  # fmt: skip

# What else decides the images, but for which of them are drawn.
request_options = together([
    click.option("--seed", type=NUMBER, default=0, show_default=True),
    click.option("--batch", type=click.IntRange(min=1), default=16, show_default=True,
                 help="Samples to a call of the network."),
    click.option("--label", type=Integers(), metavar="N,N,...",
                 help="Class of the samples; of several, one after the other."),
    click.option("--guidance", type=float, default=1.0, show_default=True, help="Of the label, against no class."),
])  # fmt: skip

# Where the network runs.
place_options = together([
    click.option("--provider", type=click.Choice(["auto", "cpu", "cuda", "tensorrt"]), default="auto",
                 show_default=True, help="What runs it: a plan TensorRT, an .onnx CUDA if it can, else the CPU."),
    click.option("--device", type=click.IntRange(min=0), default=0, show_default=True, help="Number of the GPU."),
])  # fmt: skip


def engine_options(command: Command) -> Command:
    """The options of an engine, which the command gets as one `engine`, and `quiet`."""

    @functools.wraps(command)
    def gathered(
        *, engine: Path | None, threads: int | None, provider: Any, device: int, stream_steps: bool, **rest: Any
    ) -> Any:
        return command(engine=EngineChoice(engine, threads, provider, device, stream_steps), **rest)

    return together([
        click.option("--engine", type=PATH, metavar="FILE", help=".onnx or .plan to run. [default: bundled, MNIST]"),
        click.option("--threads", type=click.IntRange(min=1), help="CPU threads. [default: all cores]"),
        place_options,
        click.option("--stream-steps", is_flag=True, help="Launch every step on the stream, without a CUDA graph."),
        click.option("--quiet", is_flag=True, help="No progress bar."),
    ])(gathered)  # type: ignore[return-value]  # fmt: skip


out_option = click.option(
    "-o", "--out", type=PATH, default="samples.png", show_default=True, metavar="PATH",
    help="x.png a grid, x.gif or x.webp an animation, x.npy the numbers, DIR/ a PNG a sample.",
)  # fmt: skip

# What a chain begins with, instead of its noise.
start_options = together([
    click.option("--init-image", type=PATH, metavar="FILE", help="Begin with this picture, or .npy of one or many."),
    click.option("--strength", type=float, metavar="S",
                 help="Share of the steps to run from it. [default: 0.5, with --mask 1]"),
    click.option("--mask", type=PATH, metavar="FILE", help="White is drawn anew, black is kept of the picture."),
    click.option("--resample", type=click.IntRange(min=1), help="Times to go each step with --mask. [default: 1]"),
    click.option("--init-noise", type=PATH, metavar="X_T.npy", help="Begin with this noise, as `invert` writes it."),
])  # fmt: skip
