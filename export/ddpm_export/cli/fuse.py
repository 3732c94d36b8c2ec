"""`ddpm-rt fuse`. Only click is imported here: listing the verbs must not wait for onnx."""

from pathlib import Path

import click

from ddpm_rt.cli.inputs import Values, null_input_option, paths_of, read_inputs
from ddpm_rt.cli.options import quiet_option, threads_option
from ddpm_rt.cli.talk import say


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="UNET.onnx")
@click.option("--steps-file", required=True, type=click.Path(path_type=Path), metavar="FILE",
              help="The sampler, as `ddpm-rt steps` compiled it for this model.")  # fmt: skip
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The .onnx to write.")
@click.option("--guidance", type=float, default=1.0, show_default=True, help="Guidance scale, fixed in the file.")
@null_input_option
@click.option("--resize", is_flag=True, help="Resize pictures of --null-input to the model's size.")
@click.option("--uint8", is_flag=True, help="Images as bytes [batch, H, W, C], instead of float32 [batch, C, H, W].")
@threads_option
@quiet_option
def fuse(
    model: Path, steps_file: Path, out: Path, guidance: float, null_inputs: Values, resize: bool, uint8: bool,
    threads: int | None, quiet: bool,
) -> None:  # fmt: skip
    """Write noise, step table and network as one ONNX file, which draws images in one call.

    Any ONNX Runtime runs the file: its inputs are `seed` (int64), `sample` (int64, a number for each image) and, for
    a model with classes, `y` (int64, a label for each image); named inputs of the network are inputs of
    the file; its output is `image`. The file is kept only if its
    images are those of `ddpm-rt sample`.

    \b
    ddpm-rt steps unet.onnx --sampler dpm++ --steps 20 --spacing logsnr -o unet.steps.json
    ddpm-rt fuse unet.onnx --steps-file unet.steps.json -o chain.onnx
    ddpm-rt verify chain.onnx --engine-b unet.onnx
    """
    from ddpm_rt.artifacts.onnx_card import read_onnx_card
    from ddpm_rt.artifacts.output_path import check_output_path, check_target
    from ddpm_rt.artifacts.steps_file import read_steps
    from ddpm_rt.cli.progress import stage_line

    from ..fuse.fuse import fuse as write_chain

    try:
        check_output_path(out, ".onnx", inputs=[model, steps_file, *paths_of(null_inputs)])
        check_target(out)
        card = read_onnx_card(model)
        sampler, null = read_steps(steps_file, card), read_inputs(card, null_inputs, resize=resize)
        with stage_line(quiet) as report:
            off = write_chain(
                model, sampler, out, guidance=guidance, null_inputs=null,
                image="uint8" if uint8 else "float32", threads=threads, report=report,
            )  # fmt: skip
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    megabytes = out.stat().st_size / 1e6
    say(f"{out}: {megabytes:.2f} MB, {sampler.table.steps} steps, within {off:.1e} of the loop")
