"""`--input NAME=VALUE`: named inputs of a model from numbers, arrays and pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ..text import quoted

if TYPE_CHECKING:
    from ..artifacts.card import ModelCard

Command = TypeVar("Command", bound=Callable[..., Any])


class NamedValue(click.ParamType):  # type: ignore[type-arg]
    """`NAME=VALUE` as a pair of a name and a number or a path."""

    name = "named value"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float | Path]:
        if isinstance(value, tuple):
            return value
        name, equals, text = value.partition("=")
        if not (name and equals and text):
            self.fail(f"{quoted(value)} is not NAME=VALUE, such as low_res=photo.png or level=0.5", param, ctx)
        try:
            return name, float(text)
        except ValueError:
            return name, Path(text)


Values = Sequence[tuple[str, float | Path]]


null_input_option = click.option(
    "--null-input", "null_inputs", type=NamedValue(), multiple=True, metavar="NAME=VALUE",
    help="With --guidance: the value that stands for no condition.",
)  # fmt: skip


def input_options(command: Command) -> Command:
    """`--input`, `--null-input` and `--resize`."""
    add_input = click.option(
        "--input", "inputs", type=NamedValue(), multiple=True, metavar="NAME=VALUE",
        help="A named input of the model: a number, an .npy of one entry or many (sample n takes entry n modulo their "
        "count), or a picture.",
    )  # fmt: skip
    add_resize = click.option("--resize", is_flag=True, help="Resize pictures of --input to the model's size.")
    return add_input(null_input_option(add_resize(command)))


def paths_of(*values: Values) -> list[Path]:
    """The files that are read."""
    return [value for several in values for _, value in several if isinstance(value, Path)]


def read_inputs(card: "ModelCard", values: Values, *, resize: bool = False) -> dict[str, Any]:
    """The values by name. Raises ValueError for a name twice, DdpmRtError for a file that cannot be read.

    A picture is read in [-1, 1]; it must be of the size that the input has, or is resized.
    """
    from ..images.read import load_input

    read: dict[str, Any] = {}
    for name, value in values:
        if name in read:
            raise ValueError(f"input {quoted(name)} is given twice")
        read[name] = value if isinstance(value, float) else load_input(card, name, value, resize=resize)
    return read
