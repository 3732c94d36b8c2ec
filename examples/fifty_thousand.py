"""Draw 50 000 samples for a metric with Ray, on one machine or many. The same command resumes.

python examples/fifty_thousand.py [FOLDER [COUNT [STEPS [ACTORS]]]]
"""

import sys
from pathlib import Path

import numpy as np
import ray

import ddpm_rt.ray

BATCH = 50


def main(folder: str = "samples", count: str = "50000", steps: str = "50", actors: str = "1") -> None:
    """Draws the batches whose files are missing. The bytes do not depend on the number of actors."""
    request = ddpm_rt.Request(seed=7, count=int(count), batch=BATCH, steps=int(steps))
    Path(folder).mkdir(exist_ok=True)
    files = [Path(folder) / f"{first:09d}.npy" for first in range(0, request.count, BATCH)]
    missing = [number for number, file in enumerate(files) if not file.exists()]
    if missing:
        ray.init(num_cpus=int(actors) + 1, include_dashboard=False)  # or ray.init("auto") on a cluster
        drawn = ddpm_rt.ray.images(None, request, actors=int(actors), batches=missing)
        parts: dict[int, list[tuple[int, np.ndarray]]] = {}
        for row in drawn.iter_rows():
            part = parts.setdefault(int(row["sample"]) // BATCH, [])
            part.append((int(row["sample"]), row["image"]))
            number = int(row["sample"]) // BATCH
            if len(part) == min(BATCH, request.count - number * BATCH):
                images = np.stack([image for _, image in sorted(parts.pop(number), key=lambda entry: entry[0])])
                np.save(files[number].with_suffix(".tmp.npy"), images)
                files[number].with_suffix(".tmp.npy").replace(files[number])  # a file is whole or not there
    print(f"{count} samples of seed 7 in {folder}; {len(missing)} of {len(files)} batches were missing")


if __name__ == "__main__":
    main(*sys.argv[1:])
