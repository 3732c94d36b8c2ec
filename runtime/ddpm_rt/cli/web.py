"""`ddpm-rt web`."""

from pathlib import Path

import click

from .options import PATH
from .talk import say


@click.command()
@click.argument("model", type=PATH, metavar="UNET.onnx")
@click.option(
    "--steps-file", required=True, type=PATH, metavar="FILE", help="The sampler, as `ddpm-rt steps` compiled it."
)
@click.option("-o", "--out", type=PATH, required=True, metavar="DIR/", help="The folder to write.")
@click.option("--title", metavar="TEXT", help="Heading of the page. [default: the name of the model's source]")
@click.option(
    "--ort", type=PATH, metavar="DIR/", help="Folder `dist` of onnxruntime-web. [default: npm fetches it once]"
)
@click.option("--webgpu", is_flag=True, help="Run the network on the visitor's GPU where that computes the same.")
def web(model: Path, steps_file: Path, out: Path, title: str | None, ort: Path | None, webgpu: bool) -> None:
    """Write a static site that draws the model's images in the visitor's browser.

    \b
    ddpm-rt steps unet.onnx --sampler dpm++ --steps 20 --spacing logsnr -o unet.steps.json
    ddpm-rt web unet.onnx --steps-file unet.steps.json -o site/
    python -m http.server --directory site
    """
    from ..web.site import write_site

    try:
        site = write_site(model, steps_file, out, title=title, ort=ort, webgpu=webgpu)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    megabytes = site.bytes / 1e6
    say(f"{out}: {site.files} files, {megabytes:.1f} MB; try it with python -m http.server --directory {out}")
