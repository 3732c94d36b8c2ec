"""Share the samples of one seed between processes, which do not communicate. The images equal those of one process."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np

import ddpm_rt

COUNT, PER_PROCESS = 16, 8


def draw(first: int) -> np.ndarray:
    """Draw the samples `first` to `first + PER_PROCESS - 1` of seed 7."""
    return ddpm_rt.sample(seed=7, first=first, count=PER_PROCESS, batch=8, steps=10, threads=1)


if __name__ == "__main__":
    with ProcessPoolExecutor(max_workers=2, mp_context=get_context("spawn")) as pool:
        shards = list(pool.map(draw, range(0, COUNT, PER_PROCESS)))
    whole = ddpm_rt.sample(seed=7, count=COUNT, batch=8, steps=10, threads=1)
    assert np.array_equal(np.concatenate(shards), whole)
    print(f"{COUNT} images from 2 processes equal those of one process")
