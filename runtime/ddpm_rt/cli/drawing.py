"""What the verbs that draw images have in common: open the engine, bind the request, draw, write, print one line."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..artifacts.card import ModelCard
from ..artifacts.output_path import check_output_path
from ..engine import Engine
from ..engines.decoder import decoder_of
from ..images.output import Output
from ..requests.request import BoundRequest, Request
from ..stopping import line_on_stop
from .progress import progress_bar
from .talk import say

if TYPE_CHECKING:
    from .options import ChosenEngine

Ask = Callable[[ModelCard], Request]  # the request for a model; raises ValueError for what cannot be asked of it


def draw_images(
    ask: Ask, chosen: "ChosenEngine", out: Path, *, scale: int = 1, quiet: bool, inputs: Sequence[Path | None] = ()
) -> None:
    """Open the engine, draw the images that `ask` wants of its model, write them, and print one line.

    `inputs` are the files that `ask` reads. Raises click.UsageError for a wrong request, before anything is written.
    """
    from ..engines.opening import open_engine

    try:
        check_output_path(out, inputs=[chosen.model, *inputs])
        engine = open_engine(chosen.path, chosen.options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with engine:
        bound, output = _prepared(ask, engine, out, scale, chosen.options.threads)
        _draw(bound, engine, output, quiet)


def _prepared(ask: Ask, engine: Engine, out: Path, scale: int, threads: int | None) -> tuple[BoundRequest, Output]:
    try:
        bound = ask(engine.card).bind(engine.card).for_engine(engine)
        decoder = None if out.suffix.lower() == ".npy" else decoder_of(engine, threads)
        return bound, Output(out, bound, engine.model_sha256(), decoder, scale=scale)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _draw(bound: BoundRequest, engine: Engine, output: Output, quiet: bool) -> None:
    with output.owned(lambda line: say(line, err=True)), line_on_stop(lambda: what_is_kept(output)):
        missing = output.missing()
        calls = bound.calls_for(missing)
        started = time.perf_counter()
        with progress_bar(calls, "sampling", quiet=quiet) as bar:
            outcome = output.draw(engine, missing, lambda: bar.update(1))
        seconds = time.perf_counter() - started
    notes = [f"{outcome.skipped} were there already"] if outcome.skipped else []
    notes += [f"{outcome.damaged} were damaged and were drawn again"] if outcome.damaged else []
    noted = f" ({', '.join(notes)})" if notes else ""
    each = f", {1000 * seconds / calls:.2f} ms a step" if calls else ""
    say(f"{outcome.drawn} images of seed {bound.seed} in {seconds:.2f} s{each}: {output.path}{noted}")


def what_is_kept(output: Output) -> str:
    """What a line says after a stop: what is written, and how to resume."""
    if output.is_written:
        return f"{output.path} is written"
    if output.folder is None:
        return f"{output.path} was not written; the same command starts again"
    return f"{output.folder.kept} of {output.request.count} images are in {output.path}; the same command resumes"
