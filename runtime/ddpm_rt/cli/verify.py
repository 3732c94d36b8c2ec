"""`ddpm-rt verify`."""

import contextlib
import functools
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from ..artifacts.fused_chain import is_fused
from ..artifacts.plan_record import is_plan
from ..engines.engine_options import EngineOptions
from ..errors import DdpmRtError
from ..extras import install_command
from ..limits import MAX_COUNT
from ..samplers import FITTED, NAMES
from .exit_codes import DIFFERENT
from .inputs import Values, input_options, paths_of, read_inputs
from .options import (
    STEPS,
    batch_option,
    engine_options_of,
    eta_option,
    label_option,
    place_options,
    quiet_option,
    seed_option,
)
from .progress import progress_bar
from .talk import say

if TYPE_CHECKING:
    from ..artifacts.card import ModelCard
    from ..engine import Engine
    from ..requests.request import BoundRequest, Request
    from ..verify.comparison import Side
    from ..verify.report import Report
    from ..verify.report_files import ReportFiles
    from ..verify.verdict import Tolerance

FILE = click.Path(path_type=Path, dir_okay=False)
FEW_STEPS = 50  # of every sampler but ddpm, where --steps is left out


@dataclass(frozen=True, kw_only=True)
class Sides:
    """What is compared with what. Raises ValueError unless exactly one second side of its kind is named."""

    engine: Path
    reference: Path | None = None  # a checkpoint, run by PyTorch
    engine_b: Path | None = None
    other_weights: bool = False

    def __post_init__(self) -> None:
        if (self.reference is None) == (self.engine_b is None):
            raise ValueError("give one of --reference and --engine-b")
        if self.reference is not None and (self.reference.suffix == ".onnx" or is_plan(self.reference)):
            raise ValueError(f"{self.reference} is not a checkpoint; compare with it by --engine-b")

    @property
    def other(self) -> Path:
        """The path of the second side."""
        path = self.reference or self.engine_b
        assert path is not None
        return path


@click.command()
@click.argument("engine", type=click.Path(path_type=Path))
@click.option("--reference", type=click.Path(path_type=Path), metavar="CHECKPOINT", help="Compare with PyTorch.")
@click.option("--engine-b", type=click.Path(path_type=Path), metavar="OTHER", help="Compare with another engine.")
@click.option("--sampler", type=click.Choice(NAMES), default="ddpm", show_default=True)
@click.option("--steps", type=STEPS,
              help="Network calls per sample. [default: ddpm: every timestep; fitted: the most; else 50]")  # fmt: skip
@eta_option
@label_option()
@seed_option()
@click.option("--count", type=click.IntRange(1, MAX_COUNT), default=4, show_default=True, help="How many samples.")
@batch_option(4)
@click.option("--tolerance", type=click.FloatRange(min=0), metavar="X", help="Largest |difference of x| at any step.")
@click.option("--min-psnr", type=click.FloatRange(min=0), metavar="DB", help="Least PSNR of any final image.")
@click.option("--other-weights", is_flag=True, help="Compare two models of different weights.")
@click.option("-o", "--out", "html", type=FILE, metavar="HTML", help="Write the report as a page.")
@click.option("--png", type=FILE, metavar="PNG", help="Write the report as a picture.")
@click.option("--json", type=FILE, metavar="FILE", help="Write the report for machines; - prints it instead of text.")
@place_options
@input_options
@quiet_option
def verify(
    engine: Path, reference: Path | None, engine_b: Path | None, other_weights: bool,
    html: Path | None, png: Path | None, json: Path | None,
    tolerance: float | None, min_psnr: float | None, steps: int | None,
    inputs: Values, null_inputs: Values, resize: bool, quiet: bool, **asked: Any,
) -> None:  # fmt: skip
    """Run two chains from the same noise and compare them at every step.

    \b
    ddpm-rt verify unet.onnx --reference runs/mnist
    ddpm-rt verify fp16.onnx --engine-b fp32.onnx --sampler ddim --out report.html
    The exit code is 1 when they differ by more than the tolerance, which by default
    is that of the engine's precision. A fused chain shows no steps: its images are compared
    with those that --engine-b draws by the table in the chain.
    """
    from ..verify.report_files import ReportFiles
    from ..verify.verdict import Tolerance

    reports = ReportFiles(html=html, png=png, json=json)
    try:
        sides = Sides(engine=engine, reference=reference, engine_b=engine_b, other_weights=other_weights)
        reports.check(engine, engine_b, reference, *paths_of(inputs, null_inputs))
        limits = None if tolerance is None and min_psnr is None else Tolerance(tolerance, min_psnr)
        options = engine_options_of(asked)
        if not is_plan(engine) and engine.is_file() and is_fused(engine):
            given = {"inputs": inputs, "null_inputs": null_inputs}
            sys.exit(0 if _same_images(sides, options, limits, reports, asked | given, resize=resize) else DIFFERENT)

        def ask(card: "ModelCard") -> "Request":
            given = {"inputs": read_inputs(card, inputs, resize=resize)}
            given |= {"null_inputs": read_inputs(card, null_inputs, resize=resize)}
            return _request(engine, card, steps, asked | given)

        report = compared(sides, options, limits, ask, quiet=quiet)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    reports.write(report)
    say(report.to_json() if reports.json_to_stdout else f"{report.line}\n{report.table()}")
    if not report.verdict.ok:
        sys.exit(DIFFERENT)


SHARED = ("engine", "engine_b", "label", "seed", "count", "batch", "tolerance", "min_psnr", "other_weights", "json",
          "inputs", "null_inputs", "resize")  # fmt: skip
PLACES = ("threads", "provider", "device")


def _same_images(
    sides: Sides, options: EngineOptions, limits: "Tolerance | None", reports: "ReportFiles", asked: dict[str, Any],
    *, resize: bool,
) -> bool:  # fmt: skip
    """Compare the images of a fused chain and print the verdict. Raises ValueError as `compared`."""
    from ..artifacts.onnx_card import read_onnx_card
    from ..verify.fused import compare_fused

    context = click.get_current_context()
    others = context.params.keys() - {*SHARED, *PLACES}
    given = [name for name in others if context.get_parameter_source(name) is not ParameterSource.DEFAULT]
    if given or sides.engine_b is None:
        raise ValueError("a fused chain has its own sampler and shows no steps; give --engine-b, and --json alone")
    wanted, card = {key: asked[key] for key in ("seed", "count", "batch", "label")}, read_onnx_card(sides.engine)
    wanted |= {key: read_inputs(card, asked[key], resize=resize) for key in ("inputs", "null_inputs")}
    report = compare_fused(
        sides.engine, sides.engine_b, options, wanted, limits, other_weights=sides.other_weights
    )  # fmt: skip
    reports.write_json(report.to_json())
    say(report.to_json() if reports.json_to_stdout else report.line)
    return report.ok


def _request(engine: Path, card: Any, steps: int | None, asked: dict[str, Any]) -> "Request":
    from ..requests.fitted import with_fitted
    from ..requests.request import Request

    if asked["sampler"] == FITTED:
        return Request(**with_fitted({"steps": steps, **asked}, engine, card))
    if card.process is not None and asked["sampler"] == "ddpm":  # the default of this verb
        asked = {**asked, "sampler": "ddim"}
    steps = steps or (len(card.betas) if asked["sampler"] == "ddpm" else FEW_STEPS)
    return Request(steps=steps, spacing=card.spacing, **asked)


def compared(
    sides: Sides,
    options: EngineOptions,
    limits: "Tolerance | None",
    ask: Callable[[Any], "Request"],
    *,
    quiet: bool = False,
) -> "Report":
    """The report of two sides, with a progress bar.

    Raises ValueError for options that do not go together, DdpmRtError for models that cannot be compared.
    """
    from ..verify.comparison import compare, engine_side
    from ..verify.report import Compared, Report
    from ..verify.verdict import check_comparable, default_tolerance

    with contextlib.ExitStack() as stack:
        engine = _opened(sides.engine, options, stack)
        bound = ask(engine.card).bind(engine.card)  # a wrong request is refused before the second side is opened
        check = functools.partial(check_comparable, engine.card, other_weights=sides.other_weights)
        other = _other_side(sides, options, bound, stack, check)
        limits = limits or default_tolerance(engine.card.precision, other.card.precision)
        with progress_bar(bound.calls_for(bound.request.samples), "comparing", quiet=quiet) as bar:
            comparison = compare(engine_side(engine, bound), other, bound, bar.update)
        names = Compared(sides.engine.name, engine.card), Compared(sides.other.name, other.card)
        return Report(*names, bound.request, comparison, limits)


def _other_side(
    sides: Sides,
    options: EngineOptions,
    bound: "BoundRequest",
    stack: contextlib.ExitStack,
    check: Callable[["ModelCard"], None],
) -> "Side":
    """The second side, after `check` of its card: only then is the request bound to it."""
    from ..verify.comparison import engine_side

    if sides.engine_b is None:
        side = _reference_side(sides.other, bound.request)
        check(side.card)
        return side
    other = _opened(sides.engine_b, options, stack)
    check(other.card)
    return engine_side(other, bound.request.bind(other.card))


def _opened(path: Path, options: EngineOptions, stack: contextlib.ExitStack) -> "Engine":
    """An engine that the stack closes. A plan has one provider; the option is for an .onnx file beside it."""
    from ..engines.opening import open_engine

    fitting = replace(options, provider="auto") if is_plan(path) else options
    return stack.enter_context(open_engine(path, fitting))


def _reference_side(path: Path, request: "Request") -> "Side":
    try:
        bridge = importlib.import_module("ddpm_export.verify_reference")  # by name: the runtime knows no torch
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise DdpmRtError(f"torch is not installed: {install_command('export')}, or compare with --engine-b") from error
    side: Side = bridge.reference_side(path, request)
    return side
