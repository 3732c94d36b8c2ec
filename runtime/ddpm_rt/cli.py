"""`ddpm-rt`: sample and inspect here; train and export live in packages that are loaded only when asked for."""

import importlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from .errors import DdpmRtError

VERBS = ("train", "export", "build", "sample", "inspect", "doctor")  # in the order of the pipeline
ELSEWHERE = {"train": "ddpm_ref.cli:train", "export": "ddpm_export.cli:export", "build": "ddpm_export.build_cli:build"}
EXTRAS = {
    "onnxruntime": "cpu",
    "onnx": "export",
    "onnxscript": "export",
    "safetensors": "export",
    "accelerate": "train",
    "tensorboard": "train",
    "tqdm": "train",
    "tomli": "train",
    "datasets": "datasets",
}
INTERRUPTED = 130  # as shells report a program that Ctrl-C ended


class Commands(click.Group):
    """Loads a verb when it is called, and turns what can go wrong into one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        module, attribute = ELSEWHERE[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DdpmRtError as error:
            raise click.ClickException(str(error)) from error
        except ModuleNotFoundError as error:
            package = (error.name or "").split(".")[0]
            extra = EXTRAS.get(package, ctx.invoked_subcommand if package == "torch" else None)
            if extra is None:
                raise
            raise click.ClickException(f"{package} is not installed: pip install 'ddpm-rt[{extra}]'") from error
        except KeyboardInterrupt:
            click.echo("\ninterrupted; nothing half-written is left", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=Commands)
@click.version_option(package_name="ddpm-rt")
def main() -> None:
    """Train a DDPM with PyTorch, sample it without.

    \b
    train    images      -> checkpoint
    export   checkpoint  -> unet.onnx
    build    unet.onnx   -> unet.plan
    sample   unet.onnx   -> pictures
    """


@main.command()
@click.option(
    "--engine", type=click.Path(path_type=Path), metavar="FILE", help="Model to run. [default: bundled, MNIST]"
)
@click.option("--sampler", type=click.Choice(["ddpm", "ddim"]), default="ddim", show_default=True)
@click.option(
    "--steps", type=click.IntRange(min=1), default=50, show_default=True, help="Calls of the network a sample."
)
@click.option("--eta", type=click.FloatRange(0, 1), help="Noise of ddim: 0 none, 1 as ddpm. [default: 0]")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True)
@click.option(
    "--first", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True, help="Number of the first sample."
)
@click.option("--count", type=click.IntRange(min=1), default=16, show_default=True, help="How many samples.")
@click.option(
    "--batch", type=click.IntRange(min=1), default=16, show_default=True, help="Samples to a call of the network."
)
@click.option("--out", default="samples.png", show_default=True, metavar="PATH",
              help="x.png a grid, x.gif or x.webp an animation, x.npy the numbers, DIR/ a PNG a sample.")  # fmt: skip
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads. [default: all cores]")
@click.option("--quiet", is_flag=True, help="No progress bar.")
def sample(engine: Path | None, out: str, threads: int | None, quiet: bool, **asked: Any) -> None:
    """Draw images from a model, the bundled one by default.

    \b
    ddpm-rt sample
    ddpm-rt sample --engine unet.onnx --sampler ddpm --steps 1000 --count 64 --out pictures/
    """
    from .api import open_denoiser
    from .files import file_sha256
    from .models import bundled_model
    from .output import Output
    from .request import Request

    model = engine or bundled_model()
    try:
        request = Request(**asked)
        denoise = open_denoiser(model, threads=threads)
        request.table(denoise.card)  # so that impossible steps are said before anything is made
        output = Output(Path(out), request, file_sha256(model))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    missing = output.missing()
    calls = request.steps * len(range(0, len(missing), request.batch))
    started = time.perf_counter()
    try:
        with progress_bar(calls, quiet) as bar:
            outcome = output.draw(denoise, lambda step: bar.update(1))
    except KeyboardInterrupt:
        click.echo(f"\n{interrupted(output, missing)}", err=True)
        sys.exit(INTERRUPTED)
    seconds = time.perf_counter() - started
    there = f" ({outcome.skipped} were there already)" if outcome.skipped else ""
    each = f", {1000 * seconds / calls:.2f} ms a step" if calls else ""
    click.echo(f"{outcome.drawn} images in {seconds:.2f} s{each}: {out}{there}")


def progress_bar(length: int, quiet: bool) -> Any:
    """A bar on stderr while there is somebody to see it."""
    hidden = quiet or not sys.stderr.isatty()
    return click.progressbar(length=length, label="sampling", file=sys.stderr, hidden=hidden, show_pos=True)


def interrupted(output: Any, missing: Sequence[int]) -> str:
    """What a person who pressed Ctrl-C wants to know."""
    if output.kind != "folder":
        return f"interrupted; {output.path} was not written, the same command starts again"
    kept = output.request.count - len(output.missing())
    return f"interrupted; {kept} of {output.request.count} images are in {output.path}, the same command goes on"


@main.command("inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="All of it, betas included, for machines.")
def inspect_command(file: Path, as_json: bool) -> None:
    """What a model is: shape, prediction, betas, precision, provenance."""
    from . import inspect_model, inspect_plan
    from .plan import is_plan

    kind = inspect_plan if is_plan(file) else inspect_model
    found = kind.facts(file)
    click.echo(json.dumps(found, indent=2) if as_json else kind.describe(found))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def doctor(as_json: bool) -> None:
    """What this machine has, what works here, what to install for the rest."""
    from .doctor import describe, facts

    found = facts()
    click.echo(json.dumps(found, indent=2) if as_json else describe(found))
