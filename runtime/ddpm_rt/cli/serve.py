"""`ddpm-rt serve`."""

from pathlib import Path
from typing import Any

import click

from .options import PATH, STEPS, batch_option, engine_options_of, place_options
from .talk import say

POSITIVE = click.IntRange(min=1)


@click.command()
@click.option(
    "--engine",
    "engines",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="An .onnx or .plan to serve, under the name of the file; may be repeated. [default: bundled, MNIST]",
)
@click.option(
    "--steps-file",
    "steps_files",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="A table of `ddpm-rt steps` or `tune`, under the name of the file; may be repeated.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 chooses a free one.")
@batch_option(help="Images per network call, at most.")
@click.option(
    "--queue",
    type=POSITIVE,
    default=256,
    show_default=True,
    help="Samples of a model that wait or are drawn; above that the answer is 429.",
)
@click.option("--token-file", type=PATH, metavar="FILE", help="Require the bearer token in this file.")
@click.option("--no-token", is_flag=True, help="Let every machine that reaches --host draw without a token.")
@click.option(
    "--allow-host",
    "allowed_hosts",
    multiple=True,
    metavar="NAME",
    help="Answer to this host name as well; may be repeated.",
)
@click.option(
    "--cors-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="Let the pages of this origin ask; may be repeated.",
)
@click.option("--max-samples", "samples", type=POSITIVE, default=64, show_default=True, help="Samples of a request.")
@click.option("--max-steps", "steps", type=STEPS, default=1000, show_default=True, help="Steps of a sample.")
@click.option("--max-body", "body_bytes", type=POSITIVE, default=1 << 20, show_default=True, help="Bytes of a body.")
@click.option(
    "--max-connections",
    "connections",
    type=POSITIVE,
    default=512,
    show_default=True,
    help="Open connections; above that the longest idle one is closed.",
)
@click.option(
    "--drain",
    "drain_seconds",
    type=click.FloatRange(0, 86400, min_open=True),
    default=30.0,
    show_default=True,
    help="Seconds for the requests that are under way when the server stops.",
)
@place_options
@click.option("--stream-steps", is_flag=True, help="Launch each step on the stream, without a CUDA graph.")
def serve(
    engines: tuple[Path, ...], steps_files: tuple[Path, ...], host: str, port: int, token_file: Path | None,
    no_token: bool, allowed_hosts: tuple[str, ...], origins: tuple[str, ...], **asked: Any,
) -> None:  # fmt: skip
    """Serve models over HTTP, with a page to try them, until Ctrl-C or SIGTERM.

    \b
    ddpm-rt serve
    ddpm-rt serve --engine unet.onnx --steps-file unet.8.steps.json --port 9000
    ddpm-rt serve --host 0.0.0.0 --token-file token
    Requests share the calls of the network: a sample joins at the next step.
    """
    from ..serve.app import Access
    from ..serve.guard import read_token
    from ..serve.server import check_access, listening, opened_service, run
    from ..serve.server_limits import ServerLimits

    try:
        options = engine_options_of(asked)
        limits = ServerLimits(**asked)
        token = None if token_file is None else read_token(token_file)
        access = Access(host=host, token=token, allowed_hosts=allowed_hosts, origins=origins)
        check_access(access, no_token=no_token)
        with listening(host, port) as listener, opened_service(engines, steps_files, options, limits) as service:
            names = ", ".join(service.models)
            run(service, access, listener, lambda url: say(f"serving {names}: {url}"))
    except ValueError as error:
        raise click.UsageError(str(error)) from error
