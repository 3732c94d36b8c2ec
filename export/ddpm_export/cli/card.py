"""`ddpm-rt card`. Only click is imported at the top: listing the verbs must not import torch."""

from pathlib import Path
from typing import Any

import click

from ddpm_rt.cli.talk import say
from ddpm_rt.limits import MAX_CLASSES


@click.command()
@click.argument("model", metavar="FILE.onnx", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", "copy", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The copy to write."
)
@click.option("--betas", metavar="WHICH", help="linear:1000:1e-4:0.02, cosine:1000, x.json or x.npy.")
@click.option("--process", metavar="WHICH", help="In place of betas: sigma:MIN:MAX (sigma:0.002:80), or flow.")
@click.option("--prediction", required=True, type=click.Choice(["eps", "x0", "v", "edm", "velocity"]),
              help="Output of the network.")  # fmt: skip
@click.option(
    "--variance",
    type=click.Choice(["fixed_small", "fixed_large", "learned", "learned_range"]),
    help="Reverse variance, with --betas. A learned variance is the second half of the output's channels.",
)
@click.option("--clip", required=True, metavar="LOW,HIGH", help="Range to which the predicted x0 is clipped, or none.")
@click.option(
    "--spacing", type=click.Choice(["trailing", "leading", "linspace", "karras", "logsnr"]),
    help="[default: trailing; with sigma karras]",
)  # fmt: skip
@click.option("--time", type=click.Choice(["sigma", "log_sigma", "t", "1-t"]),
              help="What the network is told, with --process. [default: sigma, or t of a flow]")  # fmt: skip
@click.option("--time-scale", type=float, default=1.0, show_default=True, help="... times this (log_sigma: 0.25).")
@click.option("--sigma-data", type=float, help="Deviation of the data, for prediction edm.")
@click.option("--shift", type=float, default=1.0, show_default=True, help="Of the times of a flow.")
@click.option("--x", default="x", show_default=True, metavar="NAME", help="The graph's name for the image.")
@click.option("--t", default="t", show_default=True, metavar="NAME", help="... for the timestep, sigma or time.")
@click.option("--y", default="y", show_default=True, metavar="NAME", help="... for the label, with --classes.")
@click.option("--input", "inputs", multiple=True, metavar="NAME", help="... for a condition. Can be repeated.")
@click.option("--prev-x0", metavar="NAME", help="... for the previous x0, of a network with self-conditioning.")
@click.option("--output", default="out", show_default=True, metavar="NAME", help="... for the output.")
@click.option(
    "--classes",
    type=click.IntRange(1, MAX_CLASSES),
    metavar="N",
    help="Number of classes, if the network takes labels.",
)
@click.option(
    "--null-class", type=click.IntRange(0, MAX_CLASSES - 1), metavar="K", help="The label that means no class."
)
def card(
    model: Path, copy: Path, betas: str | None, process: str | None, clip: str, variance: str | None,
    spacing: str | None, time: str | None, time_scale: float, sigma_data: float | None, shift: float, **asked: Any,
) -> None:  # fmt: skip
    """Write a model card into a copy of an ONNX file that another tool exported.

    \b
    ddpm-rt card mine.onnx -o unet.onnx --betas linear:1000:1e-4:0.02 --prediction eps \\
      --variance fixed_small --clip -1,1 --x sample --t timestep --output noise_pred
    ddpm-rt card mine.onnx -o unet.onnx --process sigma:0.002:80 --prediction x0 --clip none \\
      --x noisy --t sigma --output denoised --input difficulty
    """
    from ddpm_rt import DdpmRtError
    from ddpm_rt.artifacts.output_path import check_output_path, check_target

    from ..graph.foreign_onnx import write_card
    from ..process_argument import process_facts

    names = {key: asked.pop(key) for key in ("x", "t", "y")} | {"out": asked.pop("output")}
    if asked["classes"] is None:
        del names["y"]
    if betas is not None and variance is None:
        raise click.UsageError("Missing option '--variance', which --betas needs")
    try:
        check_output_path(copy, ".onnx", inputs=[model])
        told = {"time": time, "time_scale": time_scale, "sigma_data": sigma_data, "shift": shift}
        known = process_facts(betas, process, **told) | {"clip": parse_clip(clip), "names": names}
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    sigmas = known["process"] is not None and known["process"].kind == "sigma"
    known |= {"spacing": spacing or ("karras" if sigmas else "trailing"), "variance": variance or "fixed_small"}
    try:
        check_target(copy)
        written = write_card(model, copy, {**asked, **known})
    except (ValueError, DdpmRtError) as error:
        raise click.ClickException(str(error)) from error
    shape = " x ".join(map(str, written.image_shape))
    levels = f"{len(written.betas)} betas" if written.process is None else process
    say(f"{copy}: {shape}, {levels}, predicts {written.prediction}")


def parse_clip(text: str) -> tuple[float, float] | None:
    """Parse `LOW,HIGH` or `none`. Raises ValueError."""
    if text == "none":
        return None
    try:
        low, high = map(float, text.split(","))
    except ValueError:
        raise ValueError(f"--clip must be LOW,HIGH or none, not {text!r}") from None
    return low, high
