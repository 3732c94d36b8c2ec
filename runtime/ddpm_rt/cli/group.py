"""`ddpm-rt`: the group of verbs. A verb's module is imported when the verb is called, or when its help is shown."""

import contextlib
import importlib
import os
import sys
from typing import Any

import click

from ..errors import DdpmRtError
from ..extras import EXTRAS
from ..stopping import stop_line
from .exit_codes import INTERRUPTED

# In the order of the pipeline. Verbs of `ddpm_ref` and `ddpm_export` need PyTorch or onnx.
VERBS = {
    "train": "ddpm_ref.cli:train",
    "export": "ddpm_export.cli.export:export",
    "card": "ddpm_export.cli.export:card",
    "verify": "ddpm_rt.cli.verify:verify",
    "build": "ddpm_export.cli.build:build",
    "refit": "ddpm_export.cli.refit:refit",
    "steps": "ddpm_rt.cli.steps:steps",
    "tune": "ddpm_rt.cli.tune:tune",
    "sample": "ddpm_rt.cli.sample:sample",
    "interpolate": "ddpm_rt.cli.edit:interpolate",
    "invert": "ddpm_rt.cli.edit:invert",
    "inspect": "ddpm_rt.cli.inspect:inspect",
    "doctor": "ddpm_rt.cli.inspect:doctor",
}


class WrongUsage(click.ClickException):
    """click.UsageError in one line, without the usage and the hint that click puts above it."""

    exit_code = 2


class Verbs(click.Group):
    """Loads a verb when it is called, and turns every expected failure into one line."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Also what click itself prints, help and version, may meet a disk that is full."""
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
        # Some packages import onnxruntime by themselves: its telemetry is off for every verb, unless the user set this.
        os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
        module, attribute = VERBS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except DdpmRtError as error:
            raise click.ClickException(str(error)) from error
        except click.UsageError as error:
            raise WrongUsage(error.format_message()) from error
        except ModuleNotFoundError as error:
            package = (error.name or "").split(".")[0]
            extra = "train" if (package, ctx.invoked_subcommand) == ("torch", "train") else EXTRAS.get(package)
            if extra is None:
                raise
            raise click.ClickException(f"{package} is not installed: pip install 'ddpm-rt[{extra}]'") from error
        except KeyboardInterrupt as stop:  # where this is not the program but called by one
            click.echo(f"\n{stop.args[0] if stop.args else stop_line()}", err=True)
            ctx.exit(INTERRUPTED)


def report_failure(error: OSError) -> None:
    """One line for what the system refused: of a file if the error names one, else of standard output."""
    place = "standard output cannot be written" if error.filename is None else os.fsdecode(error.filename)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
                continue
        _discard(stream)  # else Python tries again at its end, and fails aloud
    with contextlib.suppress(OSError):
        click.echo(f"Error: {place}: {error.strerror or error}", err=True)


def _discard(stream: Any) -> None:
    """Send what a stream still holds to nowhere."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


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
