"""`ddpm-rt export`. Only click is imported here: the command line lists its verbs without waiting for torch."""

from pathlib import Path
from typing import Literal

import click

Precision = Literal["fp32", "fp16", "bf16"]


@click.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The .onnx to write.")
@click.option("--opset", default=18, show_default=True, help="ONNX operator set, 18 to 21.")
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16"]), default="fp32", show_default=True)
@click.option("--hoist-time/--no-hoist-time", "hoist", default=None,
              help="Look up what depends on t alone in a table. [default: unless fp32]")  # fmt: skip
@click.option("--static-batch", type=click.IntRange(min=1), metavar="N", help="Fix the batch. [default: any]")
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    help="Largest error, a share of the largest output. [default: by precision]",
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of the comparison. [default: all cores]")
def export(
    checkpoint: Path,
    out: Path,
    opset: int,
    precision: Precision,
    hoist: bool | None,
    static_batch: int | None,
    tolerance: float | None,
    threads: int | None,
) -> None:
    """Write a checkpoint as ONNX, compared with PyTorch on the spot.

    \b
    ddpm-rt export runs/mnist -o unet.onnx
    """
    from ddpm_ref.checkpoint import load_checkpoint
    from ddpm_rt import DdpmRtError
    from ddpm_rt.files import check_writable

    from .checkpoint_card import card_of
    from .onnx_export import export_onnx

    try:
        if not out.parent.is_dir():
            raise DdpmRtError(f"{out.parent} is not a folder; make it first")
        check_writable(out.parent)
        loaded = load_checkpoint(checkpoint)
        card = export_onnx(
            loaded.unet,
            card_of(loaded, checkpoint),
            out,
            opset=opset,
            precision=precision,
            hoist=hoist,
            static_batch=static_batch,
            tolerance=tolerance,
            threads=threads,
        )
    except (ValueError, DdpmRtError) as error:
        raise click.ClickException(str(error)) from error
    off, largest = card.provenance.parity["max_abs_error"], card.provenance.parity["max_abs_out"]
    megabytes = out.stat().st_size / 1e6
    click.echo(f"{out}: {megabytes:.2f} MB, within {off:.1e} of PyTorch (largest output {largest:.2g})")
