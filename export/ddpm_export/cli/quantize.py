"""`ddpm-rt quantize`. Only click is imported here: the command line lists its verbs without waiting for onnx."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ddpm_rt.cli.inputs import Values, input_options, paths_of, read_inputs
from ddpm_rt.cli.options import (
    PATH,
    batch_option,
    guidance_option,
    label_option,
    seed_option,
    threads_option,
)
from ddpm_rt.cli.progress import stage_line
from ddpm_rt.cli.talk import say
from ddpm_rt.stopping import line_on_stop

if TYPE_CHECKING:
    from ..quantize import Quantization, Quantized
    from ..quantize.sensitivity import Sensitivity

ENOUGH = 30.0  # dB, of whole chains; below it, images are visibly others


@click.command()
@click.argument("model", type=PATH, metavar="ONNX")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The .onnx to write.")
@click.option("--for", "target", type=click.Choice(["cpu", "tensorrt"]), default="cpu", show_default=True,
              help="cpu: ONNX Runtime, uint8 activations. tensorrt: int8, for `ddpm-rt build`.")  # fmt: skip
@click.option("--precision", type=click.Choice(["fp32", "fp16"]), default="fp32", show_default=True,
              help="Type of the layers that are not quantised; fp16 needs --for tensorrt.")  # fmt: skip
@click.option("--calibrate", type=click.IntRange(min=1), default=32, show_default=True,
              help="Samples that the model draws for the ranges of its activations.")  # fmt: skip
@click.option("--compare", type=click.IntRange(min=1), default=8, show_default=True,
              help="Other samples that both models draw, for the PSNR.")  # fmt: skip
@click.option("--steps-file", type=PATH, metavar="FILE",
              help="The sampler that will be used, from `steps` or `tune`. [default: ddim, 50 steps]")  # fmt: skip
@click.option("--keep", metavar="NAME,NAME,...", help="Layers that stay float; * stands for any text.")
@seed_option(700, "Seed of the samples; those that are compared have the next seed.")
@label_option("every class")
@guidance_option
@input_options
@batch_option(4)
@threads_option
@click.option("--quiet", is_flag=True, help="No progress, and no table of the layers.")
def quantize(
    model: Path, out: Path, steps_file: Path | None, keep: str | None, inputs: Values, null_inputs: Values,
    resize: bool, quiet: bool, **asked: Any,
) -> None:  # fmt: skip
    """Quantise an exported float32 model to int8.

    \b
    ddpm-rt quantize unet.onnx -o unet.int8.onnx
    ddpm-rt quantize unet.onnx -o unet.int8.onnx --steps-file unet.8.steps.json
    ddpm-rt quantize unet.onnx -o unet.trt.onnx --for tensorrt
    The ranges come from samples that the model draws itself, so no data set is needed.
    The error of a layer is that of the network's output when this layer alone is int8.
    """
    from ddpm_rt import DdpmRtError
    from ddpm_rt.artifacts.onnx_card import read_onnx_card
    from ddpm_rt.artifacts.output_path import check_output_path, check_target
    from ddpm_rt.artifacts.steps_file import read_steps

    from ..quantize import Quantization
    from ..quantize import quantize as run

    try:
        check_output_path(out, ".onnx", inputs=[model, steps_file, *paths_of(inputs, null_inputs)], strict=True)
        check_target(out)
        card = read_onnx_card(model)
        sampler = None if steps_file is None else read_steps(steps_file, card)
        asked |= {"inputs": read_inputs(card, inputs, resize=resize)}
        asked |= {"null_inputs": read_inputs(card, null_inputs, resize=resize)}
        patterns = tuple(name.strip() for name in (keep or "").split(",") if name.strip())
        wanted = Quantization(sampler=sampler, keep=patterns, **asked)
        with stage_line(quiet) as report, line_on_stop(lambda: f"{out} is as it was"):
            done = run(model, out, wanted, report)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except DdpmRtError as error:
        raise click.ClickException(str(error)) from error
    if not quiet:
        say(layers_table(done.table))
    _say_result(model, out, wanted, done)


def layers_table(rows: "list[Sensitivity]") -> str:
    """Every layer with its share of the multiply-adds, its error, and its type."""
    work = max(sum(row.layer.multiply_adds for row in rows), 1)
    cells = [("layer", "multiply-adds", "error alone", "type")]
    for layer, error, stays in rows:
        share = f"{layer.multiply_adds / work:.2%}"
        cells.append(
            (layer.name, share, "-" if error is None else f"{error:.5f}", f"float: {stays}" if stays else "int8")
        )
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    return "\n".join(
        f"{name:<{widths[0]}}  {share:>{widths[1]}}  {error:>{widths[2]}}  {kind}" for name, share, error, kind in cells
    )


def _say_result(model: Path, out: Path, asked: "Quantization", done: "Quantized") -> None:
    from ddpm_rt.inspection.operators import operators_text, optimised_operators

    size, sampler = out.stat().st_size / 1e6, asked.compared_on(done.card).sampler.sampler.split(", eta")[0]
    say(f"{out}: {size:.2f} MB, {done.card.precision}, {done.quantised} of {len(done.table)} layers int8")
    if asked.target == "cpu":
        say(f"ONNX Runtime runs {operators_text(optimised_operators(out))}")
    say(
        f"against {model}: a call is off by {done.relative_rms_error:.2%} RMS; {asked.compare} chains ({sampler}) "
        f"reach {done.chain_psnr:.1f} dB PSNR, the worst {done.worst_chain_psnr:.1f} dB"
    )
    if done.chain_psnr < ENOUGH:
        say(
            f"warning: below {ENOUGH:.0f} dB, images are visibly others; keep the layers of the largest errors in "
            f"float (--keep), and fit a table to this file (`ddpm-rt tune {out}`)",
            err=True,
        )
    if asked.target == "cpu":
        _warn_of_cpu()


def _warn_of_cpu() -> None:
    """One line on a processor that multiplies 8-bit integers no faster than floats."""
    from ddpm_rt.measure.machine import cpu_name, int8_instructions

    if int8_instructions() == []:
        say(
            f"warning: {cpu_name()} has no dot product of 8-bit integers (VNNI, AMX): expect int8 to be as fast as "
            "float32 or slower, and its products to saturate; measure with `ddpm-rt bench FILE --against FLOAT`",
            err=True,
        )
