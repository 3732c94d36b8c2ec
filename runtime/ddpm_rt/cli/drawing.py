"""What the verbs that end with images have in common: open, ask, draw, write, say."""

import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from ..artifacts.card import ModelCard
from ..engine import Engine
from ..engines.engine_options import EngineChoice
from ..images.output import Output
from ..requests.request import Request
from .options import INTERRUPTED


def draw_images(
    ask: Callable[[ModelCard], Request], engine: EngineChoice, out: Path, *,
    quiet: bool, inputs: Sequence[Path | None] = (),
) -> None:  # fmt: skip
    """Open the model, ask for images with its card, and write them; one line says what was done.

    `inputs` are the files that `ask` reads. Raises click.UsageError for what cannot be asked, before anything is made.
    """
    from ..artifacts.output_path import check_output

    with contextlib.ExitStack() as stack:
        try:
            check_output(out, inputs=[engine.model, *inputs])
            denoise = stack.enter_context(engine.opened())
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        _draw(ask, denoise, engine.model, out, quiet)


def _draw(ask: Callable[[ModelCard], Request], denoise: Engine, model: Path, out: Path, quiet: bool) -> None:
    from ..artifacts.digest import file_sha256

    try:
        request = ask(denoise.card)
        request.table(denoise.card)
        request = request.fitted(denoise)
        output = Output(out, request, file_sha256(model))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    missing = output.missing()
    calls = request.rows_run * len(range(0, len(missing), request.batch))
    started = time.perf_counter()
    try:
        with progress_bar(calls, quiet) as bar:
            outcome = output.draw(denoise, missing, lambda: bar.update(1))
    except KeyboardInterrupt:
        click.echo(f"\n{interrupted(output)}", err=True)
        sys.exit(INTERRUPTED)
    seconds = time.perf_counter() - started
    there = f" ({outcome.skipped} were there already)" if outcome.skipped else ""
    each = f", {1000 * seconds / calls:.2f} ms a step" if calls else ""
    click.echo(f"{outcome.drawn} images in {seconds:.2f} s{each}: {out}{there}")


def progress_bar(length: int, quiet: bool) -> Any:
    """A bar on stderr while there is somebody to see it."""
    hidden = quiet or not sys.stderr.isatty()
    return click.progressbar(length=length, label="sampling", file=sys.stderr, hidden=hidden, show_pos=True)


def interrupted(output: Output) -> str:
    """What a person who pressed Ctrl-C wants to know."""
    if output.kind != "folder":
        return f"interrupted; {output.path} was not written, the same command starts again"
    kept = output.request.count - len(output.missing())
    return f"interrupted; {kept} of {output.request.count} images are in {output.path}, the same command goes on"
