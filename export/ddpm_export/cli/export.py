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

    SOURCE is a directory that diffusers saved, or a weights file of guided-diffusion, improved-diffusion,
    denoising_diffusion_pytorch or pytorch_diffusion. If SOURCE contains several networks, choose one with --weights.
    The decoder of a latent model becomes a second file beside it: unet.decoder.onnx.

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
    from ..peers.latent import export_decoder
    from ..sources import open_source
    from ..sources.checkpoint_card import card_of

    try:
        check_target(out)
        with stage_line(quiet) as report:
            chosen = ExportOptions(**options)
            report("reading the checkpoint")
            found = open_source(source, config, weights=weights)
            decoder = None if found.autoencoder is None else out.with_name(f"{out.stem}.decoder.onnx")
            card = card_of(found, source, None if decoder is None else decoder.name)
            if decoder is not None:
                report("exporting the decoder")
                decoded = export_decoder(found.autoencoder, card.image_shape, decoder, opset=chosen.opset)
            card = export_onnx(found.module, card, out, chosen, report=report)
    except (ValueError, DdpmRtError) as error:
        raise click.ClickException(str(error)) from error
    for note in found.notes:
        say(f"{source}: {note}", err=True)
    written = {out: card.provenance.parity} if decoder is None else {decoder: decoded, out: card.provenance.parity}
    for path, parity in written.items():
        off, largest = parity["max_abs_error"], parity["max_abs_out"]
        megabytes = path.stat().st_size / 1e6
        say(f"{path}: {megabytes:.2f} MB, within {off:.1e} of PyTorch (largest output {largest:.2g})")
