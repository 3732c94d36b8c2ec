"""`ddpm-rt`: steps, sample and inspect here; train and export live in packages that are loaded only when asked for."""

import importlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..errors import DdpmRtError
from .options import (  # fmt: skip
    INTERRUPTED,
    NUMBER,
    PATH,
    engine_options,
    out_option,
    request_options,
    sampler_options,
    start_options,
)

if TYPE_CHECKING:
    from ..artifacts.card import ModelCard
    from ..engines.engine_options import EngineChoice
    from ..requests.request import Request

# In the order of the pipeline.
VERBS = (
    *("train", "export", "card", "verify", "build", "refit", "steps"),
    *("sample", "interpolate", "invert", "inspect", "doctor"),
)  # fmt: skip
ELSEWHERE = {
    "train": "ddpm_ref.cli:train",
    "export": "ddpm_export.cli:export",
    "card": "ddpm_export.cli:card",
    "verify": "ddpm_rt.cli.verify:verify",
    "build": "ddpm_export.cli.build:build",
    "refit": "ddpm_export.cli.refit:refit",
    "interpolate": "ddpm_rt.cli.edit:interpolate",
    "invert": "ddpm_rt.cli.edit:invert",
}
EXTRAS = {
    "onnxruntime": "cpu",
    "cuda": "cuda",
    "onnx": "export",
    "onnxscript": "export",
    "safetensors": "export",
    "accelerate": "train",
    "tensorboard": "train",
    "tqdm": "train",
    "tomli": "train",
    "datasets": "datasets",
}


class WrongUsage(click.ClickException):
    """click.UsageError in one line, without the usage and the hint that click puts above it."""

    exit_code = 2


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
        except click.UsageError as error:
            raise WrongUsage(error.format_message()) from error
        except ModuleNotFoundError as error:
            package = (error.name or "").split(".")[0]
            extra = EXTRAS.get(package, ctx.invoked_subcommand if package == "torch" else None)
            if extra is None:
                raise
            raise click.ClickException(f"{package} is not installed: pip install 'ddpm-rt[{extra}]'") from error
        except KeyboardInterrupt:
            click.echo("\ninterrupted; nothing half-written is left", err=True)
            ctx.exit(INTERRUPTED)


@click.group(cls=Commands, context_settings={"max_content_width": 110})
@click.version_option(package_name="ddpm-rt")
def main() -> None:
    """Train a DDPM with PyTorch, sample it without.

    \b
    train    images      -> checkpoint
    export   checkpoint  -> unet.onnx
    build    unet.onnx   -> unet.plan
    sample   unet.plan   -> pictures (or unet.onnx)
    """


@main.command()
@engine_options
@sampler_options
@click.option("--steps-file", type=PATH, metavar="FILE",
              help="A sampler that `ddpm-rt steps` compiled, instead of the options above.")  # fmt: skip
@request_options
@click.option("--first", type=NUMBER, default=0, show_default=True, help="Number of the first sample.")
@click.option("--count", type=click.IntRange(min=1),
              help="How many samples. [default: 16, or as many as an .npy to begin with has]")  # fmt: skip
@start_options
@out_option
def sample(
    engine: "EngineChoice", out: Path, quiet: bool, steps_file: Path | None, count: int | None,
    init_image: Path | None, strength: float | None, mask: Path | None, resample: int | None, init_noise: Path | None,
    **asked: Any,
) -> None:  # fmt: skip
    """Draw images from a model, the bundled one by default.

    \b
    ddpm-rt sample
    ddpm-rt sample --engine unet.onnx --sampler ddpm --steps 1000 --count 64 --out pictures/
    ddpm-rt sample --sampler dpm++ --steps 20 --spacing logsnr
    ddpm-rt sample --init-image digit.png --strength 0.4 --count 4
    """
    from ..artifacts.steps_file import read_steps
    from ..requests.request import Request
    from .drawing import draw_images
    from .initial_state import begun

    def ask(card: "ModelCard") -> "Request":
        plan = None if steps_file is None else read_steps(steps_file, card)
        request = Request(plan=plan, count=16 if count is None else count, **asked)
        return begun(
            request, card, init_image=init_image, strength=strength, mask=mask, resample=resample,
            init_noise=init_noise, count_as_given=count is None,
        )  # fmt: skip

    draw_images(ask, engine, out, quiet=quiet, inputs=[steps_file, init_image, mask, init_noise])


@main.command("steps")
@click.argument("model", type=click.Path(path_type=Path))
@sampler_options
@click.option("-o", "--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="x.steps.json")
def steps_command(model: Path, out: Path, **asked: Any) -> None:
    """Compile a sampler for a model: a table that `sample --steps-file` and embedders run.

    \b
    ddpm-rt steps unet.onnx --sampler dpm++ --steps 20 --spacing logsnr -o unet.steps.json
    """
    from ..api import read_card
    from ..artifacts.output_path import check_output
    from ..artifacts.plan_record import files_of
    from ..artifacts.steps_file import write_steps
    from ..requests.sampler_options import SamplerOptions

    try:
        check_output(out, ".json", inputs=files_of(model))
        recipe = SamplerOptions(**asked)
        card = read_card(model)
        plan = recipe.compiled(card)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    write_steps(out, plan, card)
    click.echo(f"{plan.sampler}: {out}")


@main.command("inspect")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="All of it, betas included, for machines.")
def inspect_command(file: Path, as_json: bool) -> None:
    """What a model is: shape, prediction, betas, precision, provenance."""
    from ..artifacts.plan_record import is_plan
    from ..inspection import model as inspect_model
    from ..inspection import plan as inspect_plan

    kind = inspect_plan if is_plan(file) else inspect_model
    found = kind.facts(file)
    click.echo(json.dumps(found, indent=2) if as_json else kind.describe(found))


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def doctor(as_json: bool) -> None:
    """What this machine has, what works here, what to install for the rest."""
    from ..inspection.doctor import describe, facts

    found = facts()
    click.echo(json.dumps(found, indent=2) if as_json else describe(found))
