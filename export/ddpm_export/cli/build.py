"""`ddpm-rt build`. Only click is imported at the top, so that listing the verbs does not import onnx."""

import time
from pathlib import Path
from typing import Any

import click

from ddpm_rt.cli.options import quiet_option
from ddpm_rt.cli.progress import progress_bar
from ddpm_rt.cli.talk import say
from ddpm_rt.stopping import line_on_stop

PARTS = 1000  # steps of the progress bar


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="ONNX")
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The .plan to write.")
@click.option("--flavour", type=click.Choice(["auto", "tensorrt", "rtx"]), default="auto", show_default=True)
@click.option(
    "--batch", metavar="N,N|MIN:OPT:MAX", help="One static profile for each size, or a range. [default: 1,16]"
)
@click.option("--compute-capability", metavar="8.9,12.0", help="Target GPUs of an RTX plan. [default: 8.0 and newer]")
@click.option("--tf32", is_flag=True, help="Allow TF32 for float32 matrix products.")
@click.option("--timing-cache", type=click.Path(path_type=Path, dir_okay=False), help="Reuse and update this file.")
@click.option("--refittable", is_flag=True, help="Let `ddpm-rt refit` replace the weights later. Needs one --batch.")
@click.option(
    "--strip-weights", is_flag=True, help="Leave the weights out; `ddpm-rt refit` adds them. Needs one --batch."
)
@click.option(
    "--version-compatible",
    is_flag=True,
    help="Also run on later releases of TensorRT; the lean runtime is not included.",
)
@click.option("--hardware-compatible", type=click.Choice(["ampere+", "same"]), help="Run on more GPUs, but slower.")
@click.option("--level", type=click.IntRange(0, 5), help="Optimisation level of the builder. [default: TensorRT's]")
@click.option("--workspace", type=click.IntRange(min=1), metavar="MIB", help="Scratch memory. [default: TensorRT's]")
@click.option("--force", is_flag=True, help="Build even if nothing changed.")
@click.option("--verbose", is_flag=True, help="Show TensorRT's log.")
@quiet_option
def build(
    model: Path, out: Path, flavour: Any, batch: str | None, compute_capability: str | None, timing_cache: Path | None,
    force: bool, verbose: bool, quiet: bool, **asked: Any,
) -> None:  # fmt: skip
    """Build a TensorRT plan from an exported model, and write its record beside it.

    \b
    ddpm-rt build unet.onnx -o unet.plan
    ddpm-rt build unet.onnx -o unet.plan --flavour rtx --batch 1:8:64 --compute-capability 8.9,12.0
    """
    from ddpm_rt.artifacts.output_path import check_output_path
    from ddpm_rt.artifacts.plan_record import SUFFIXES, sidecar_path

    from ..plans.build import build_plan
    from ..plans.build_options import BuildOptions, parse_batch

    started = time.perf_counter()
    try:
        check_output_path(out, *SUFFIXES, inputs=[model, timing_cache])
        for beside in (sidecar_path(out), timing_cache or out):
            check_output_path(beside, inputs=[model])
        capabilities = () if compute_capability is None else tuple(compute_capability.split(","))
        profiles = None if batch is None else parse_batch(batch)
        options = BuildOptions(profiles, capabilities, timing_cache=timing_cache is not None, **asked)
        with (
            progress_bar(PARTS, "building", quiet=quiet or verbose, counted=False) as bar,
            line_on_stop(lambda: f"{out} is unchanged"),
        ):
            record, built = build_plan(
                model, out, options, flavour=flavour, timing_cache=timing_cache, force=force,
                report=lambda share: bar.update(max(0, int(PARTS * share) - bar.pos)),
                show=(lambda line: say(line, err=True)) if verbose else None,
            )  # fmt: skip
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    done = f"built in {time.perf_counter() - started:.1f} s" if built else "unchanged, not built again (--force)"
    say(f"{out}: {record.bytes / 1e6:.2f} MB, {record.card.precision}, {done}")
