"""`ddpm-rt refit`. Only click is imported at the top, so that listing the verbs does not import onnx."""

from pathlib import Path

import click

from ddpm_rt.cli.options import threads_option
from ddpm_rt.cli.talk import say
from ddpm_rt.stopping import line_on_stop


@click.command()
@click.argument("plan", type=click.Path(path_type=Path), metavar="PLAN")
@click.option(
    "--weights", required=True, type=click.Path(path_type=Path), metavar="CHECKPOINT|ONNX", help="The new weights."
)
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The .plan to write.")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file for the checkpoint, as in export.")
@threads_option
@click.option("--verbose", is_flag=True, help="Show TensorRT's log.")
def refit(plan: Path, weights: Path, out: Path, config: Path | None, threads: int | None, verbose: bool) -> None:
    """Replace the weights of a plan without building it again. This needs the plan's target GPU.

    Build PLAN with --refittable. A plan built with --strip-weights accepts only the .onnx that it was built from.
    Everything but the weights must be equal: shape, betas, prediction, precision and the rest of the card.
    This command is tested without a GPU only; it has not yet run on a GPU.

    \b
    ddpm-rt build unet.onnx -o unet.plan --refittable
    ddpm-rt refit unet.plan --weights runs/mnist -o new.plan
    """
    from ddpm_rt.artifacts.output_path import check_output_path
    from ddpm_rt.artifacts.plan_record import SUFFIXES

    from ..plans.refit import refit_plan

    try:
        check_output_path(out, *SUFFIXES, inputs=[weights, config])  # `out` may be the plan itself
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    show = (lambda line: say(line, err=True)) if verbose else None
    try:
        with line_on_stop(lambda: f"{out} is unchanged"):
            record = refit_plan(plan, weights, out, config=config, threads=threads, show=show)
    except ValueError as error:
        raise click.ClickException(str(error)) from error
    provenance = record.card.provenance
    say(f"{out}: {record.bytes / 1e6:.2f} MB, {provenance.source}, weights {provenance.weights_sha256[:12]}")
