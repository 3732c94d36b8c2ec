"""`ddpm-rt export`. Only click is imported here: the command line lists its verbs without waiting for torch."""

from pathlib import Path
from typing import Any

import click


@click.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The .onnx to write.")
@click.option("--config", type=click.Path(path_type=Path), help="TOML file with what the weights cannot say.")
@click.option("--opset", default=18, show_default=True, help="ONNX operator set, 18 to 21.")
@click.option("--static-batch", type=click.IntRange(min=1), metavar="N", help="Fix the batch. [default: any]")
@click.option(
    "--tolerance", type=click.FloatRange(min=0), help="Largest error, as a share of the largest output. [default: 1e-4]"
)
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of the comparison. [default: all cores]")
def export(source: Path, out: Path, config: Path | None, tolerance: float | None, **options: Any) -> None:
    """Write a checkpoint as ONNX, compared with PyTorch on the spot.

    SOURCE is recognised: a directory that diffusers saved, or weights of guided-diffusion, improved-diffusion or
    pytorch_diffusion.

    \b
    ddpm-rt export runs/mnist -o unet.onnx
    ddpm-rt export 64x64_diffusion.pt --config 64x64.toml -o unet.onnx
    """
    from ddpm_rt import DdpmRtError

    from .checkpoint_card import card_of
    from .onnx_export import TOLERANCE, export_onnx
    from .sources import open_source

    try:
        check_place(out)
        found = open_source(source, config)
        limit = TOLERANCE if tolerance is None else tolerance
        card = export_onnx(found.module, card_of(found, source), out, tolerance=limit, **options)
    except (ValueError, DdpmRtError) as error:
        raise click.ClickException(str(error)) from error
    off, largest = card.provenance.parity["max_abs_error"], card.provenance.parity["max_abs_out"]
    megabytes = out.stat().st_size / 1e6
    click.echo(f"{out}: {megabytes:.2f} MB, within {off:.1e} of PyTorch (largest output {largest:.2g})")


def check_place(out: Path) -> None:
    """Raises DdpmRtError unless `out` can be written: better now than after the work."""
    from ddpm_rt import DdpmRtError
    from ddpm_rt.files import check_writable

    if not out.parent.is_dir():
        raise DdpmRtError(f"{out.parent} is not a folder; make it first")
    check_writable(out.parent)
