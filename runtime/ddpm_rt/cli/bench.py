"""`ddpm-rt bench`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..limits import MAX_BATCH
from .options import PATH, Integers, engine_options, guidance_option, label_option, sampler_options, seed_option
from .progress import progress_bar
from .talk import say

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..engine import Engine
    from ..measure.report import Subject
    from ..requests.request import Request
    from .options import ChosenEngine


@click.command()
@engine_options
@click.option("--batch", "batches", type=Integers(), default="1,8", show_default=True, metavar="N,N,...",
              help="Batch sizes to measure.")  # fmt: skip
@click.option("--against", type=PATH, metavar="FILE", help="Another model, called in turn with the first one.")
@sampler_options
@click.option("--steps-file", type=PATH, metavar="FILE",
              help="A sampler that `ddpm-rt steps` or `tune` compiled; replaces the options above.")  # fmt: skip
@seed_option()
@label_option()
@guidance_option
@click.option("--rounds", type=click.IntRange(min=3), default=15, show_default=True,
              help="Chains per batch size; the bare calls of each are timed in turn with it.")  # fmt: skip
@click.option("--seconds", type=click.FloatRange(min=0), default=30.0, show_default=True,
              help="Time per batch size after which no further round begins; three rounds are always run.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def bench(
    engine: "ChosenEngine", batches: tuple[int, ...], against: Path | None, steps_file: Path | None,
    rounds: int, seconds: float, quiet: bool, as_json: bool, **asked: Any,
) -> None:  # fmt: skip
    """Measure the speed of a model with a sampler on this machine.

    \b
    ddpm-rt bench
    ddpm-rt bench unet.onnx --batch 1,16 --sampler ddim --steps 20
    ddpm-rt bench unet.int8.onnx --against unet.onnx --steps 10
    Whole chains and bare calls of the network are timed in turn in one process. Each
    figure is a median, with the 10th and the 90th percentile. Loop overhead is the
    time of a chain over that of its calls alone.
    """
    from ..measure import Limit, measure
    from ..measure.report import describe, to_json

    if wrong := [batch for batch in batches if not 1 <= batch <= MAX_BATCH]:
        raise click.UsageError(f"a batch must lie in [1, {MAX_BATCH}], not {wrong[0]}")
    try:
        request, subject = _prepared(engine, steps_file, against, asked)
        other = None if against is None else _opener(engine._replace(path=against))
        with progress_bar(len(batches) * rounds, "measuring", quiet=quiet) as bar:
            rows = [
                measure(_opener(engine), request, batch=batch, limit=Limit(rounds, seconds), against=other,
                        progress=lambda: bar.update(1))
                for batch in batches
            ]  # fmt: skip
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    say(to_json(subject, rows) if as_json else describe(subject, rows))


def _prepared(
    engine: "ChosenEngine", steps_file: Path | None, against: Path | None, asked: dict[str, Any]
) -> "tuple[Request, Subject]":
    """What the chains draw, and what is measured. A wrong request is refused here, before anything is measured."""
    from ..artifacts.steps_file import read_steps
    from ..engines.opening import open_engine, provider_for
    from ..measure.machine import thread_count
    from ..measure.report import Subject
    from ..requests.fitted import with_fitted
    from ..requests.request import Request

    model, options = engine.model, engine.options
    with open_engine(model, options) as opened:
        card, sha256 = opened.card, opened.model_sha256()
        provider = "cpu" if opened.loop is None else provider_for(model, options.provider, options.device)
    compiled = None if steps_file is None else read_steps(steps_file, card)
    request = Request(**with_fitted({**asked, "compiled": compiled}, model, card))
    return request, Subject(
        model=model.name,
        model_sha256=sha256,
        precision=card.precision,
        provider=provider,
        threads=thread_count(options.threads),
        sampler=request.bind(card).sampler.sampler,
        guidance=request.guidance,
        against=None if against is None else against.name,
    )


def _opener(engine: "ChosenEngine") -> "Callable[[], Engine]":
    from ..engines.opening import open_engine

    return lambda: open_engine(engine.model, engine.options)
