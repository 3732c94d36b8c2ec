"""Time a cold start: import of the runtime, a whole `ddpm-rt sample`, and the first picture of `ddpm-rt serve`.

They stand beside the import of torch and diffusers. Every command runs in a fresh process, in turn; the figures are
medians.
"""

import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import click

PYTHON = sys.executable


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def served() -> tuple[float, float]:
    """Seconds until a server of the bundled model prints its address, and of the first request for a picture."""
    started = time.perf_counter()
    command = [PYTHON, "-m", "ddpm_rt", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[-1]
        ready = time.perf_counter()
        with urllib.request.urlopen(f"{url}v1/models/mnist/images/7/0.png?steps=50") as response:
            response.read()
        drawn = time.perf_counter()
        server.terminate()
    return ready - started, drawn - ready


@click.command()
@click.option("--rounds", default=5, show_default=True)
def main(rounds: int) -> None:
    """Time cold starts."""
    with tempfile.TemporaryDirectory() as folder:
        out = str(Path(folder) / "x.png")
        commands = {
            "python -c pass": [PYTHON, "-c", "pass"],
            "python -c 'import ddpm_rt'": [PYTHON, "-c", "import ddpm_rt"],
            "ddpm-rt --help": [PYTHON, "-m", "ddpm_rt", "--help"],
            "ddpm-rt sample (16 images, 50 steps)": [PYTHON, "-m", "ddpm_rt", "sample", "--quiet", "--out", out],
            "python -c 'import torch, diffusers'": [PYTHON, "-c", "import torch, diffusers"],
        }
        server = "ddpm-rt serve, until its address", "    its first picture (50 steps)"
        times: dict[str, list[float]] = {name: [] for name in (*commands, *server)}
        for _ in range(rounds + 1):  # the first round fills the disk cache and is dropped
            for name, command in commands.items():
                times[name].append(seconds(command))
            for name, value in zip(server, served(), strict=True):
                times[name].append(value)
        for name, values in times.items():
            click.echo(f"{name:<40} {statistics.median(values[1:]):6.2f} s")


if __name__ == "__main__":
    main()
