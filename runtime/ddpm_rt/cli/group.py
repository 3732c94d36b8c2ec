"""`ddpm-rt`: the group of verbs. A verb's module is imported only when the verb runs or its help is shown."""

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any

import click

from ..errors import DdpmRtError
from ..extras import EXTRAS, Extra, install_command
from ..stopping import stop_line
from ..text import ANY_MESSAGE, one_line
from .exit_codes import INTERRUPTED

# In the order of the pipeline. Verbs of `ddpm_ref` and `ddpm_export` need PyTorch or onnx.
VERBS = {
    "train": "ddpm_ref.cli:train",
    "export": "ddpm_export.cli.export:export",
    "card": "ddpm_export.cli.card:card",
    "verify": "ddpm_rt.cli.verify:verify",
    "build": "ddpm_export.cli.build:build",
    "quantize": "ddpm_export.cli.quantize:quantize",
    "refit": "ddpm_export.cli.refit:refit",
    "steps": "ddpm_rt.cli.steps:steps",
    "fuse": "ddpm_export.cli.fuse:fuse",
    "tune": "ddpm_rt.cli.tune:tune",
    "sample": "ddpm_rt.cli.sample:sample",
    "serve": "ddpm_rt.cli.serve:serve",
    "interpolate": "ddpm_rt.cli.interpolate:interpolate",
    "invert": "ddpm_rt.cli.invert:invert",
    "web": "ddpm_rt.cli.web:web",
    "bench": "ddpm_rt.cli.bench:bench",
    "evaluate": "ddpm_rt.cli.evaluate:evaluate",
    "inspect": "ddpm_rt.cli.inspect:inspect",
    "doctor": "ddpm_rt.cli.doctor:doctor",
}


class WrongUsage(click.ClickException):
    """click.UsageError on one line, without click's usage and hint."""

    exit_code = 2


class Verbs(click.Group):
    """Loads verbs lazily, and turns every expected failure into one printable line."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Handle a full disk also for the output of click itself, help and version."""
        try:
            return super().main(*args, **extra)
        except OSError as error:
            if not extra.get("standalone_mode", True):
                raise
            report_failure(error)
            sys.exit(1)

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        # Some packages import onnxruntime themselves, so its telemetry is off for every verb unless the user set this.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        module, attribute = VERBS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        with _failures():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _failures():
                return super().invoke(ctx)
        except ModuleNotFoundError as error:
            package = (error.name or "").split(".")[0]
            is_training = (package, ctx.invoked_subcommand) == ("torch", "train")
            extra: Extra | None = "train" if is_training else EXTRAS.get(package)
            if extra is None:
                raise
            raise click.ClickException(f"{package} is not installed: {install_command(extra)}") from error
        except KeyboardInterrupt as stop:  # if another program calls this group
            click.echo(f"\n{stop.args[0] if stop.args else stop_line()}", err=True)
            ctx.exit(INTERRUPTED)


def report_failure(error: OSError) -> None:
    """Print one line for a system error, about the file that it names or else about standard output."""
    place = "standard output cannot be written" if error.filename is None else os.fsdecode(error.filename)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
                continue
        _discard(stream)  # otherwise Python flushes the stream again at its exit, and fails with a traceback
    with contextlib.suppress(OSError):
        click.echo(one_line(f"Error: {place}: {error.strerror or error}", ANY_MESSAGE), err=True)


def _discard(stream: Any) -> None:
    """Redirect a stream that cannot be flushed to the null device."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


@contextlib.contextmanager
def _failures() -> Iterator[None]:
    """Turn failures into click exceptions, which print every message to the terminal."""
    try:
        yield
    except click.UsageError as error:
        raise WrongUsage(one_line(error.format_message(), ANY_MESSAGE)) from error
    except click.ClickException as error:
        raise click.ClickException(one_line(error.format_message(), ANY_MESSAGE)) from error
    except DdpmRtError as error:
        raise click.ClickException(str(error)) from error
    except MemoryError as error:
        raise click.ClickException("not enough memory; use a smaller batch or count") from error


@click.group(cls=Verbs, context_settings={"max_content_width": 110})
@click.version_option(package_name="ddpm-rt")
def main() -> None:
    """Train a DDPM with PyTorch, sample it without.

    \b
    train    images      -> checkpoint
    export   checkpoint  -> unet.onnx
    build    unet.onnx   -> unet.plan
    sample   unet.plan   -> pictures (or unet.onnx)
    """
