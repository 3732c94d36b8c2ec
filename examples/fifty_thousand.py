"""Draw the samples for a metric with Ray, on one machine or many. The same command resumes.

python examples/fifty_thousand.py --count 50000 --actors 4 --out samples
"""

import argparse
from pathlib import Path

import numpy as np
import ray

import ddpm_rt.ray

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--engine", help="a path that every machine can read; default: the bundled model")
parser.add_argument("--count", type=int, default=50_000)
parser.add_argument("--batch", type=int, default=50)
parser.add_argument("--steps", type=int, default=50)
parser.add_argument("--seed", type=int, default=7)
parser.add_argument("--actors", type=int, default=1)
parser.add_argument("--out", type=Path, default=Path("samples"))


def file_of(folder: Path, first: int) -> Path:
    """The array of the batch that begins with sample `first`."""
    return folder / f"{first:09d}.npy"


def main() -> None:
    """Draws the batches whose files are missing."""
    asked = parser.parse_args()
    request = ddpm_rt.Request(seed=asked.seed, count=asked.count, batch=asked.batch, steps=asked.steps)
    asked.out.mkdir(parents=True, exist_ok=True)
    firsts = range(0, asked.count, asked.batch)
    missing = [number for number, first in enumerate(firsts) if not file_of(asked.out, first).exists()]
    if missing:
        ray.init(log_to_driver=False)
        ray.data.DataContext.get_current().enable_progress_bars = False
        drawn = ddpm_rt.ray.images(asked.engine, request, actors=asked.actors, batches=missing)
        for batch in drawn.iter_batches(batch_size=None):  # a block is what one call of an actor returned
            for first in sorted({int(sample) // asked.batch * asked.batch for sample in batch["sample"]}):
                rows = (batch["sample"] >= first) & (batch["sample"] < first + asked.batch)
                path = file_of(asked.out, first)
                with path.with_suffix(".part").open("wb") as file:
                    np.save(file, batch["image"][rows])
                path.with_suffix(".part").replace(path)  # a file is whole or not there
        ray.shutdown()
    print(f"{asked.count} samples of seed {asked.seed} in {asked.out}; {len(missing)} batches were missing")


if __name__ == "__main__":
    main()
