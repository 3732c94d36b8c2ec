"""`ddpm-rt tune`."""

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .inputs import Values, input_options, read_inputs
from .options import (
    PATH,
    Numbers,
    batch_option,
    engine_options_of,
    guidance_option,
    label_option,
    place_options,
    quiet_option,
    seed_option,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..engine import Engine
    from ..tune import Fit, Fitted, RanOn, Tuning
    from ..tune.fitting import Progress


@click.command()
@click.argument("model", type=PATH)
@click.option("--calls", type=click.IntRange(min=1), help="Network calls per sample.")
@click.option("--timesteps", type=Numbers(), metavar="T,T,...",
              help="Timesteps, or sigmas of noise levels, descending; replaces --calls.")  # fmt: skip
@click.option("-o", "--out", type=PATH, metavar="FILE", help="The .steps.json to write.")
@click.option("--embed", is_flag=True, help="Write the table into the model file, for `--sampler fitted`.")
@click.option(
    "--samples", type=click.IntRange(min=1), default=128, show_default=True, help="Number of samples for the fit."
)
@click.option(
    "--held-out",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Number of other samples, on which the errors are measured.",
)
@click.option(
    "--teacher-calls",
    type=click.IntRange(min=2),
    default=60,
    show_default=True,
    help="Network calls of the teacher per sample.",
)
@click.option(
    "--eta", type=click.FloatRange(0, 1), default=0.0, show_default=True, help="Noise of every step, as in ddim."
)
@seed_option(900, "Seed of the samples; the held-out samples use the next seed.")
@label_option("every class")
@guidance_option
@batch_option()
@input_options
@click.option("--png", type=PATH, metavar="FILE", help="Show held-out samples of every table side by side.")
@place_options
@quiet_option
def tune(
    model: Path, out: Path | None, embed: bool, png: Path | None, quiet: bool,
    inputs: Values, null_inputs: Values, resize: bool, **asked: Any,
) -> None:  # fmt: skip
    """Fit a table of few network calls to a model, on the engine that will run it.

    \b
    ddpm-rt tune unet.onnx --calls 8 -o unet.8.steps.json --png unet.8.png
    ddpm-rt sample unet.onnx --steps-file unet.8.steps.json
    ddpm-rt tune unet.onnx --calls 8 --embed
    ddpm-rt sample unet.onnx --sampler fitted --steps 8
    The errors are distances to the images of a teacher that makes many calls, on
    samples that the fit has not used.
    """
    from ..engines.opening import open_engine, provider_for
    from ..tune import Tuning

    try:
        check_outputs(model, out, png, embed)
        options = engine_options_of(asked)
        tuning = Tuning(**asked)
        engine = open_engine(model, options)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    with engine:
        tuning = _with_inputs(tuning, engine, inputs, null_inputs, resize=resize)
        if png is not None and not engine.card.is_picture:
            raise click.UsageError(f"{png}: the model draws no pictures; leave out --png")
        provider = "cpu" if engine.loop is None else provider_for(model, options.provider, options.device)
        fitted = _fitted(engine, tuning, _ran_on(model, engine, provider), quiet)
        _write(fitted, engine, model, out, png, embed)
    click.echo(table(fitted.fit))
    warn(fitted.fit)
    written = [str(path) for path in (out, model if embed else None) if path is not None]
    click.echo(f"fitted, {len(fitted.fit.timesteps)} calls: {', '.join(written)}")


def check_outputs(model: Path, out: Path | None, png: Path | None, embed: bool) -> None:
    """Raises ValueError unless there is an output, and all outputs have the right suffixes and different paths."""
    from ..artifacts.output_path import check_output_path, check_target
    from ..artifacts.plan_record import files_of

    if out is None and not embed:
        raise ValueError("give -o FILE, or --embed")
    for path, suffix in ((out, ".json"), (png, ".png")):
        if path is not None:
            check_output_path(path, suffix, inputs=files_of(model), strict=True)
            check_target(path)
    if embed:
        check_target(model)


def table(fit: "Fit") -> str:
    """The errors as text."""
    heading = (
        f"RMS distance to the images of the teacher (dpm++, {fit.teacher_calls} calls), "
        f"{fit.held_out} held-out samples, {len(fit.timesteps)} calls:"
    )
    width = max(map(len, fit.errors))
    return "\n".join([heading, *(f"  {name:<{width}}  {error:.4g}" for name, error in fit.errors.items())])


def warn(fit: "Fit") -> None:
    """Print a warning on stderr if a baseline with as many calls is closer to the teacher."""
    if fit.worse_than:
        better = " and ".join(f"{name} ({fit.errors[name]:.4g})" for name in fit.worse_than)
        click.echo(
            f"warning: the fitted table is farther from the teacher than {better}; use that sampler, or fit to more "
            "--samples",
            err=True,
        )


def _with_inputs(tuning: "Tuning", engine: "Engine", inputs: Values, null_inputs: Values, *, resize: bool) -> "Tuning":
    from dataclasses import replace

    try:
        given = read_inputs(engine.card, inputs, resize=resize)
        return replace(tuning, inputs=given, null_inputs=read_inputs(engine.card, null_inputs, resize=resize))
    except ValueError as error:
        raise click.UsageError(str(error)) from error


def _ran_on(model: Path, engine: "Engine", provider: str) -> "RanOn":
    from ..artifacts.fitted_tables import tableless_sha256
    from ..tune import RanOn

    return RanOn(model=tableless_sha256(model), precision=engine.card.precision, provider=provider)


def _fitted(engine: "Engine", tuning: "Tuning", ran_on: "RanOn", quiet: bool) -> "Fitted":
    from ..tune import tune as fit_table

    try:
        with _progress(tuning.engine_calls, quiet) as progress:
            return fit_table(engine, tuning, ran_on, progress)
    except ValueError as error:
        raise click.UsageError(str(error)) from error


@contextmanager
def _progress(calls: int, quiet: bool) -> "Iterator[Progress]":
    """A progress bar on stderr that names the current stage, hidden if stderr is not a terminal."""
    hidden = quiet or not sys.stderr.isatty()
    with click.progressbar(length=calls, file=sys.stderr, hidden=hidden, item_show_func=lambda stage: stage) as bar:
        yield lambda stage: bar.update(1, stage)
        bar.update(calls - bar.pos)  # the search for timesteps may need fewer calls than its limit


def _write(
    fitted: "Fitted", engine: "Engine", model: Path, out: Path | None, png: Path | None, embed: bool
) -> None:  # fmt: skip
    from ..artifacts import fitted_tables
    from ..artifacts.steps_file import write_steps
    from ..tune.picture import save_comparison

    if out is not None:
        write_steps(out, fitted.sampler, engine.card)
    if png is not None:
        save_comparison(png, fitted)
    if embed:
        fitted_tables.embed(model, fitted.sampler, engine.card)
