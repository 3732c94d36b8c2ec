"""The options that `sample` and `steps` share, and what click needs to read them."""

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from .dialects import DIALECTS
from .samplers import SAMPLERS
from .schedule import Spacing

Command = TypeVar("Command", bound=Callable[..., Any])


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


SAMPLER_OPTIONS = [
    click.option("--sampler", type=click.Choice(list(SAMPLERS)), help="[default: ddim]"),
    click.option("--steps", type=click.IntRange(min=1), help="Calls of the network a sample. [default: 50]"),
    click.option("--eta", type=click.FloatRange(0, 1), help="Noise of ddim: 0 none, 1 as ddpm. [default: 0]"),
    click.option("--spacing", type=click.Choice(get_args(Spacing)), help="Which timesteps. [default: the model's]"),
    click.option("--timesteps", type=Integers(), metavar="T,T,...", help="Listed, instead of steps and spacing."),
    click.option("--dialect", type=click.Choice(list(DIALECTS)), help="Whose details. [default: ho2020]"),
]


def sampler_options(command: Command) -> Command:
    """Add the options that make a `Recipe`."""
    for option in reversed(SAMPLER_OPTIONS):
        command = option(command)
    return command
