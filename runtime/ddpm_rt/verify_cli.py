"""`ddpm-rt verify`."""

import contextlib
import importlib
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from .cli_options import Integers, place_options
from .denoiser import Engine
from .engine_choice import EngineChoice
from .errors import DdpmRtError
from .plan import files_of, is_plan
from .samplers import SAMPLERS

FILE = click.Path(path_type=Path, dir_okay=False)
FEW_STEPS = 50  # of ddim, where none are asked for
DIFFERENT = 1  # the exit code


@click.command()
@click.argument("engine", type=click.Path(path_type=Path))
@click.option("--reference", type=click.Path(path_type=Path), metavar="CHECKPOINT", help="Compare with PyTorch.")
@click.option("--engine-b", type=click.Path(path_type=Path), metavar="OTHER", help="Compare with another engine.")
@click.option("--sampler", type=click.Choice(list(SAMPLERS)), default="ddpm", show_default=True)
@click.option("--steps", type=click.IntRange(min=1), help="Calls of the network a sample. [default: ddpm all, else 50]")
@click.option("--eta", type=click.FloatRange(0, 1), help="Noise of ddim. [default: 0]")
@click.option("--label", type=Integers(), metavar="N,N,...", help="Class of the samples; of several, one by one.")
@click.option("--seed", type=click.IntRange(0, 2**64 - 1), default=0, show_default=True)
@click.option("--count", type=click.IntRange(min=1), default=4, show_default=True, help="How many samples.")
@click.option("--batch", type=click.IntRange(min=1), default=4, show_default=True, help="Samples to a call.")
@click.option("--tolerance", type=click.FloatRange(min=0), metavar="X", help="Largest |difference of x| at any step.")
@click.option("--min-psnr", type=click.FloatRange(min=0), metavar="DB", help="Least PSNR of any final image.")
@click.option("--other-weights", is_flag=True, help="Go on although the weights are not the same.")
@click.option("-o", "--out", type=FILE, metavar="HTML", help="Write the report as a page.")
@click.option("--png", type=FILE, metavar="PNG", help="Write it as a picture.")
@click.option("--json", "json_file", metavar="FILE", help="Write it for machines; - is stdout, instead of the text.")
@click.option("--threads", type=click.IntRange(min=1), help="CPU threads of an engine. [default: all cores]")
@place_options
def verify(
    engine: Path, out: Path | None, png: Path | None, json_file: str | None, steps: int | None,
    threads: int | None, provider: Any, device: int, **asked: Any,
) -> None:  # fmt: skip
    """Run two chains from the same noise and compare them at every step.

    \b
    ddpm-rt verify unet.onnx --reference runs/mnist
    ddpm-rt verify fp16.onnx --engine-b fp32.onnx --sampler ddim --out report.html
    The exit code is 1 when they differ by more than the tolerance, which by default
    is that of the engine's precision.
    """
    files = {"html": out, "png": png, "json": Path(json_file) if json_file not in (None, "-") else None}
    try:
        _check_files(files, engine, asked["engine_b"], asked["reference"])
        with contextlib.ExitStack() as stack:
            report = run(EngineChoice(engine, threads, provider, device), stack, steps=steps, **asked)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    _write(report, files)
    click.echo(report.to_json() if json_file == "-" else f"{report.line}\n{report.table()}")
    if not report.verdict.ok:
        sys.exit(DIFFERENT)


def run(
    choice: EngineChoice,
    stack: contextlib.ExitStack,
    *,
    reference: Path | None,
    engine_b: Path | None,
    steps: int | None,
    tolerance: float | None,
    min_psnr: float | None,
    other_weights: bool,
    **asked: Any,
) -> Any:
    """A Report, from engines that the stack closes.

    Raises ValueError for options that do not go together, DdpmRtError for what cannot be compared.
    """
    from .request import Request
    from .verdict import Tolerance, check_comparable, default_tolerance
    from .verify import compare, engine_side
    from .verify_report import Compared, Report

    if (reference is None) == (engine_b is None):
        raise ValueError("give one of --reference and --engine-b")
    engine = _opened(choice, stack)
    steps = steps or (len(engine.card.betas) if asked["sampler"] == "ddpm" else FEW_STEPS)
    request = Request(steps=steps, spacing=engine.card.spacing, **asked)
    request.table(engine.card)  # what cannot be asked of the engine is said first
    if engine_b is not None:
        other = engine_side(_opened(replace(choice, path=engine_b), stack), request)
    else:
        other = _reference_side(reference, request)
    check_comparable(engine.card, other.card, other_weights=other_weights)
    asks = tolerance is not None or min_psnr is not None
    limits = Tolerance(tolerance, min_psnr) if asks else default_tolerance(engine.card.precision, other.card.precision)
    comparison = compare(engine_side(engine, request), other, request)
    ours, theirs = (
        Compared(choice.model.name, engine.card),
        Compared((engine_b or reference or choice.model).name, other.card),
    )
    return Report(ours, theirs, request, comparison, limits)


def _opened(choice: EngineChoice, stack: contextlib.ExitStack) -> Engine:
    """Until the stack is closed. The provider is an .onnx file's; a plan has one of its own."""
    fitting = replace(choice, provider="auto") if is_plan(choice.model) else choice
    return stack.enter_context(fitting.opened())


def _reference_side(path: Path | None, request: Any) -> Any:
    try:
        bridge = importlib.import_module("ddpm_export.verify_reference")  # by name: the runtime knows no torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise DdpmRtError(
            "torch is not installed: pip install 'ddpm-rt[export]', or compare with --engine-b"
        ) from error
    return bridge.reference_side(path, request)


def _check_files(files: dict[str, Path | None], *inputs: Path | None) -> None:
    """Raises ValueError for a report that would be another kind of file, or in the place of what is compared."""
    from .files import check_output, check_writable

    known = [file for path in inputs if path is not None for file in files_of(path)]
    for kind, file in files.items():
        if file is not None:
            check_output(file, f".{kind}", inputs=known, strict=True)
            check_writable(file.parent)


def _write(report: Any, files: dict[str, Path | None]) -> None:
    from .files import replace_file
    from .verify_page import page
    from .verify_picture import save_picture

    if (path := files["png"]) is not None:
        save_picture(path, report)
    for kind, text in (("html", page), ("json", lambda found: found.to_json() + "\n")):
        if (path := files[kind]) is not None:
            content = text(report)
            replace_file(path, lambda file, content=content: file.write_text(content, encoding="utf-8"))  # type: ignore
