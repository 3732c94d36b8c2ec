"""Time a cold start: import of the runtime and a whole `ddpm-rt sample`, against the import of torch and diffusers.

Every command runs in a fresh process, in turn; the figures are medians.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import click

PYTHON = sys.executable


def seconds(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


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
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds + 1):  # the first round fills the disk cache and is dropped
            for name, command in commands.items():
                times[name].append(seconds(command))
        for name, values in times.items():
            click.echo(f"{name:<40} {statistics.median(values[1:]):6.2f} s")


if __name__ == "__main__":
    main()
