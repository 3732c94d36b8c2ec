"""The options that verbs share, and what click needs to read them."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, get_args

import click

from ..engines.engine_options import MAX_THREADS, EngineOptions, Provider
from ..limits import MAX_BATCH, MAX_GPUS, MAX_RESAMPLE, MAX_SCALE, MAX_TIMESTEPS
from ..samplers import NAMES
from ..samplers.dialects import DIALECTS
from ..samplers.schedule import Spacing
from ..text import quoted

Command = TypeVar("Command", bound=Callable[..., Any])


class PathType(click.Path):
    """A path as a `Path`. An empty one, as of an unset variable of a shell, would be the folder of the command."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not value and not isinstance(value, Path):
            self.fail("a path must not be empty", param, ctx)
        return super().convert(value, param, ctx)


PATH = PathType(path_type=Path)
NUMBER = click.IntRange(0, 2**64 - 1)  # of a seed or a sample
STEPS, BATCH = click.IntRange(1, MAX_TIMESTEPS), click.IntRange(1, MAX_BATCH)
DIGITS = 20  # of an integer in a list


class ChosenEngine(NamedTuple):
    """The model that a command runs, and the options that its engine is opened with."""

    path: Path | None  # None is the bundled model
    options: EngineOptions

    @property
    def model(self) -> Path:
        from ..models import bundled_model

        return self.path or bundled_model()


def comma_list(value: str, one: str, many: str, number_of: Callable[[str], Any]) -> tuple[Any, ...]:
    """The numbers of a comma list, at most `MAX_TIMESTEPS`. Raises click.BadParameter, in terms of `one` and `many`."""
    parts = value.split(",", MAX_TIMESTEPS)
    if len(parts) > MAX_TIMESTEPS:
        raise click.BadParameter(f"more than {MAX_TIMESTEPS} {many}")
    if longest := [part for part in parts if len(part) > DIGITS]:
        raise click.BadParameter(f"{quoted(longest[0])} is not {one} of at most {DIGITS} digits")
    try:
        return tuple(map(number_of, parts))
    except ValueError:
        raise click.BadParameter(f"{quoted(value)} is not a list of {many} such as 999,500,0") from None


class Numbers(click.ParamType):  # type: ignore[type-arg]
    """A comma list of numbers; whole numbers become integers."""

    name = "numbers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        return comma_list(
            value, "a number", "numbers",
            lambda part: int(part) if part.strip().lstrip("+-").isdecimal() else float(part),
        )  # fmt: skip


class Integers(click.ParamType):  # type: ignore[type-arg]
    """A comma list of integers."""

    name = "integers"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        return value if isinstance(value, tuple) else comma_list(value, "an integer", "integers", int)


class ShardType(click.ParamType):  # type: ignore[type-arg]
    """Part I of N, as I/N."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        from ..requests.shard import Shard

        if isinstance(value, Shard):
            return value
        index, slash, parts = value.partition("/")
        if not slash or not all(part.isdecimal() and len(part) <= DIGITS for part in (index, parts)):
            self.fail(f"{quoted(value)} is not a part such as 0/4", param, ctx)
        shard = Shard(int(index), int(parts))
        try:
            shard.check()
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return shard


def engine_options_of(asked: dict[str, Any]) -> EngineOptions:
    """Takes the options of an engine out of a command's keywords."""
    names = [field.name for field in fields(EngineOptions) if field.name in asked]
    return EngineOptions(**{name: asked.pop(name) for name in names})


def together(options: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Several options as one decorator, in the order in which the help lists them."""

    def add(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def seed_option(default: int = 0, help: str = "Seed of the noise.") -> Callable[[Command], Command]:
    """--seed."""
    return click.option("--seed", type=NUMBER, default=default, show_default=True, help=help)


def batch_option(default: int = 16, help: str = "Samples per network call.") -> Callable[[Command], Command]:
    """--batch."""
    return click.option("--batch", type=BATCH, default=default, show_default=True, help=help)


def label_option(default: str = "") -> Callable[[Command], Command]:
    """--label; `default` describes what a command does without it."""
    text = "Class of the samples; sample n has label n modulo their count."
    return click.option("--label", type=Integers(), metavar="N,N,...",
                        help=text + (f" [default: {default}]" if default else ""))  # fmt: skip


eta_option = click.option("--eta", type=click.FloatRange(0, 1),
                          help="Noise of ddim: 0 is deterministic, 1 is ddpm. [default: 0]")  # fmt: skip
guidance_option = click.option("--guidance", type=float, default=1.0, show_default=True,
                               help="Guidance scale of the label.")  # fmt: skip
threads_option = click.option("--threads", type=click.IntRange(1, MAX_THREADS),
                              help="CPU threads. [default: all cores that this process may use]")  # fmt: skip
quiet_option = click.option("--quiet", is_flag=True, help="No progress bar.")

# The fields of `SamplerOptions`.
sampler_options = together([
    click.option("--sampler", type=click.Choice(NAMES), help="[default: ddim]"),
    click.option("--steps", type=STEPS,
                 help="Network calls per sample. [default: 50; fitted: the most there are]"),
    eta_option,
    click.option("--spacing", type=click.Choice(get_args(Spacing)),
                 help="Spacing of the timesteps. [default: the model's]"),
    click.option("--timesteps", type=Numbers(), metavar="T,T,...",
                 help="The timesteps themselves, descending; replaces steps and spacing. Of noise levels: sigmas."),
    click.option("--dialect", type=click.Choice(list(DIALECTS)),
                 help="Match this implementation's conventions. [default: ho2020]"),
])  # fmt: skip

# The fields of `Request` that every kind of request has.
request_options = together([seed_option(), batch_option(), label_option(), guidance_option])

# The fields of `EngineOptions` that every verb takes.
place_options = together([
    threads_option,
    click.option("--provider", type=click.Choice(get_args(Provider)), default="auto", show_default=True,
                 help="auto: TensorRT for a plan; for an .onnx CUDA where it works, else the CPU."),
    click.option("--device", type=click.IntRange(0, MAX_GPUS - 1), default=0, show_default=True,
                 help="Number of the GPU."),
])  # fmt: skip


def engine_options(command: Command) -> Command:
    """The model, as an argument or an option, and the options of its engine: one `engine`; and `quiet`.

    A command that has another argument takes the model by `model_option` alone.
    """
    return click.argument("model", type=PATH, required=False)(model_option(command))


def model_option(command: Command) -> Command:
    """As `engine_options`, without the argument."""

    @functools.wraps(command)
    def gathered(*, engine: Path | None, model: Path | None = None, **asked: Any) -> Any:
        if engine is not None and model is not None:
            raise click.UsageError(f"{model} and --engine {engine} name two models; leave out one")
        options = engine_options_of(asked)
        return command(engine=ChosenEngine(engine or model, options), **asked)

    return together([
        click.option("--engine", type=PATH, metavar="FILE", help=".onnx or .plan to run. [default: bundled, MNIST]"),
        place_options,
        click.option("--stream-steps", is_flag=True, help="Launch each step on the stream, without a CUDA graph."),
        quiet_option,
    ])(gathered)  # type: ignore[return-value]  # fmt: skip


# The destination of the images.
out_options = together([
    click.option("-o", "--out", type=PATH, default="samples.png", show_default=True, metavar="PATH",
                 help="x.png: a grid. x.gif, x.webp: an animation. x.npy: float32 numbers. DIR/: one PNG per sample."),
    click.option("--scale", type=click.IntRange(1, MAX_SCALE), default=1, show_default=True, metavar="N",
                 help="Enlarge pictures: N x N pixels for each of the model."),
])  # fmt: skip

# The state that a chain starts from, instead of noise.
start_options = together([
    click.option("--init-image", type=PATH, metavar="FILE",
                 help="Start from this picture, or from an .npy of one or many images."),
    click.option("--strength", type=float, metavar="S",
                 help="Share of the steps to run. [default: 0.5, with --mask 1]"),
    click.option("--mask", type=PATH, metavar="FILE",
                 help="Redraw where the mask is white, keep the picture where it is black."),
    click.option("--resample", type=click.IntRange(1, MAX_RESAMPLE),
                 help="RePaint passes per step, with --mask. [default: 1]"),
    click.option("--init-noise", type=PATH, metavar="X_T.npy", help="Start from this noise, as `invert` writes it."),
])  # fmt: skip
