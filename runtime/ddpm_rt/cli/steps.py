"""`ddpm-rt steps`."""

from pathlib import Path
from typing import Any

import click

from .options import PATH, sampler_options
from .talk import say


@click.command()
@click.argument("model", type=PATH)
@sampler_options
@click.option("-o", "--out", type=PATH, required=True, metavar="FILE", help="The .steps.json to write.")
def steps(model: Path, out: Path, **asked: Any) -> None:
    """Compile a sampler for a model, as a table that `sample --steps-file` and embedders run.

    \b
    ddpm-rt steps unet.onnx --sampler dpm++ --steps 20 --spacing logsnr -o unet.steps.json
    ddpm-rt steps unet.onnx --sampler fitted --steps 8 -o unet.steps.json
    """
    from ..api import read_card
    from ..artifacts.output_path import check_output_path
    from ..artifacts.plan_record import files_of
    from ..artifacts.steps_file import write_steps
    from ..requests.fitted import with_fitted
    from ..requests.sampler_options import SamplerOptions

    try:
        check_output_path(out, ".json", inputs=files_of(model))
        card = read_card(model)
        wanted = with_fitted(asked, model, card)
        compiled = wanted.pop("compiled", None) or SamplerOptions(**wanted).compile(card)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    write_steps(out, compiled, card)
    say(f"{compiled.sampler}: {out}")
