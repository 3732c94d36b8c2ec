"""`ddpm-rt export`. Only click is imported at the top: listing the verbs must not import torch."""

from pathlib import Path
from typing import Any

import click

from ddpm_rt.cli.options import quiet_option, threads_option
from ddpm_rt.cli.progress import stage_line
from ddpm_rt.cli.talk import say
from ddpm_rt.limits import MAX_BATCH


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The .onnx to write.")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with facts that the weights do not contain.")
@click.option("--opset", default=18, show_default=True, help="ONNX operator set, 18 to 21; bf16 raises it to 22.")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32", show_default=True)
@click.option("--hoist-time/--no-hoist-time", "hoist", default=None,
              help="Precompute the time embedding for every timestep. [default: unless fp32]")  # fmt: skip
@click.option("--static-batch", type=click.IntRange(1, MAX_BATCH), metavar="N", help="Fix the batch. [default: any]")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    help="Largest error, relative to the largest output. [default: by precision]",
)
@threads_option
@click.option("--weights", metavar="NAME", help="One of several networks in a checkpoint: ema, unet_ema, fp16.")
@quiet_option
def export(source: Path, out: Path, config: Path | None, weights: str | None, quiet: bool, **options: Any) -> None:
    """Export a checkpoint to ONNX, and compare the result with PyTorch.

    SOURCE is a directory that diffusers saved, or a weights file of guided-diffusion, improved-diffusion or
    pytorch_diffusion. If SOURCE contains several networks, choose one with --weights.

    \b
    ddpm-rt export runs/mnist -o unet.onnx
    ddpm-rt export 64x64_diffusion.pt --config 64x64.toml -o unet.onnx
    ddpm-rt export training.pt --weights ema -o unet.onnx
    """
    from ddpm_rt import DdpmRtError
    from ddpm_rt.artifacts.output_path import check_output_path, check_target

    try:
        check_output_path(out, ".onnx", inputs=[source, config])
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    from ..onnx_export import ExportOptions, export_onnx
    from ..sources import open_source
    from ..sources.checkpoint_card import card_of

    try:
        check_target(out)
        with stage_line(quiet) as report:
            report("reading the checkpoint")
            found = open_source(source, config, weights=weights)
            card = export_onnx(found.module, card_of(found, source), out, ExportOptions(**options), report=report)
    except (ValueError, DdpmRtError) as error:
        raise click.ClickException(str(error)) from error
    for note in found.notes:
        say(f"{source}: {note}", err=True)
    off, largest = card.provenance.parity["max_abs_error"], card.provenance.parity["max_abs_out"]
    megabytes = out.stat().st_size / 1e6
    say(f"{out}: {megabytes:.2f} MB, within {off:.1e} of PyTorch (largest output {largest:.2g})")
