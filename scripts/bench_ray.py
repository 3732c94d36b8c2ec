"""Draw samples of the bundled model with Ray, by `examples/fifty_thousand.py`, and compare every byte. Prints a table.

    python scripts/bench_ray.py --count 2000 > benchmarks/ray.txt

Each row is a run with 1, 2 or 4 actors into a new folder. In one run an actor is killed, and one resumes a folder that
lacks half of its files. Every image is compared with those of `ddpm_rt.sample` in this process. The times include the
start of Ray and of its actors. An actor has one thread, and so has `ddpm_rt.sample`.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

import ddpm_rt
from ddpm_rt.engines.engine_options import EngineOptions

PROGRAM = Path(__file__).parents[1] / "examples" / "fifty_thousand.py"
BATCH, SEED = 50, 7  # of the program


class Run(NamedTuple):
    """A run of the program."""

    name: str
    actors: int
    folder: str
    is_killed: bool = False  # one of the actors
    resumes: bool = False  # a folder of which every other file is removed first


RUNS = (
    Run("1 actor", 1, "one"),
    Run("2 actors", 2, "two"),
    Run("4 actors", 4, "four"),
    Run("2 actors, one is killed", 2, "killed", is_killed=True),
    Run("2 actors, half was there", 2, "one", resumes=True),
)


def kill_an_actor(folder: Path) -> None:
    """Kill -9 an actor once the first file is written."""
    while not any(folder.glob("*[0-9].npy")):
        time.sleep(0.1)
    found = subprocess.run(["pgrep", "-f", "ray::MapWorker"], capture_output=True, text=True, check=True)
    os.kill(int(found.stdout.split()[0]), 9)


@click.command()
@click.option("--count", default=2000, show_default=True)
@click.option("--steps", default=10, show_default=True)
def main(count: int, steps: int) -> None:
    """Print a table. The exit code is 1 if a byte differs."""
    begin, options = time.perf_counter(), EngineOptions(threads=1)
    request = ddpm_rt.Request(seed=SEED, count=count, batch=BATCH, steps=steps)
    wanted = ddpm_rt.sample(None, request, options=options)
    alone = time.perf_counter() - begin
    click.echo(f"{count} samples of the bundled model, {steps} steps, batches of {BATCH}")
    click.echo(f"{'run':<32} {'s':>6} {'samples/s':>10}  bytes")
    click.echo(f"{'ddpm_rt.sample, one thread':<32} {alone:6.1f} {count / alone:10.1f}")
    is_equal = True
    with tempfile.TemporaryDirectory() as folder:
        for run in RUNS:
            path = Path(folder) / run.folder
            for file in sorted(path.glob("*.npy"))[::2] if run.resumes else []:
                file.unlink()
            begin = time.perf_counter()
            command = [sys.executable, PROGRAM, path, str(count), str(steps), str(run.actors)]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            if run.is_killed:
                kill_an_actor(path)
            code, took = process.wait(), time.perf_counter() - begin
            drawn = [np.load(file) for file in sorted(path.glob("*.npy"))]
            same = code == 0 and bool(drawn) and np.array_equal(np.concatenate(drawn), wanted)
            is_equal &= same
            click.echo(
                f"{run.name:<32} {took:6.1f} {count / took:10.1f}  {'equal' if same else f'NOT EQUAL, exit {code}'}"
            )
    sys.exit(0 if is_equal else 1)


if __name__ == "__main__":
    main()
