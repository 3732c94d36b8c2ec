"""What every implementation is asked for, and the cells of the table."""

import hashlib
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_rt import noise
from ddpm_rt.exponential import exp

COUNT = 1 << 20
SEED, FIRST, SAMPLES, STEP = (1 << 64) - 5, (1 << 32) - 2, 4, 5  # the sample numbers cross 2^32
SIZE = COUNT // SAMPLES
COLUMNS = ("noise, 2^20", "exp, 2^20", "chains, format 1", "chains, format 2", "images", "ms a step (its noise)")
MODEL_SAMPLER, MODEL_STEPS, MODEL_COUNT = "ddpm", 20, 2


class Missing(Exception):
    """The reason why a cell has no figure."""


@dataclass(frozen=True)
class Cells:
    """How an implementation fills its row; each call returns a cell, or raises Missing."""

    name: str
    noise: Callable[[], str]
    exponential: Callable[[], str]
    chains: Callable[[int], str]  # of cards and steps files of format 1 or 2
    images: Callable[[], str]
    step: Callable[[], str]

    def row(self) -> list[str]:
        chains = [partial(self.chains, number) for number in (1, 2)]
        return [self.name, *map(cell, (self.noise, self.exponential, *chains, self.images, self.step))]


def cell(measure: Callable[[], str]) -> str:
    try:
        return measure()
    except Missing as reason:
        return f"- ({reason})"


def without(reason: str) -> Callable[[], str]:
    """A cell that has no figure."""

    def raising() -> str:
        raise Missing(reason)

    return raising


def expected_noise() -> NDArray[np.float32]:
    return noise.normal(SEED, range(FIRST, FIRST + SAMPLES), STEP, SIZE).reshape(-1)


def exp_inputs() -> NDArray[np.float32]:
    """2^20 float32 of every exponent and sign; 1 in place of NaN, whose bits are nobody's contract."""
    patterns = (np.arange(COUNT, dtype=np.uint64) * 4093 % (1 << 32)).astype(np.uint32).view(np.float32)
    return np.where(np.isnan(patterns), np.float32(1), patterns)


def expected_exp() -> NDArray[np.float32]:
    return exp(exp_inputs())


def same_bits(found: NDArray[np.float32], expected: NDArray[np.float32]) -> str:
    """How many values have equal bits."""
    equal = int((found.reshape(-1).view(np.uint32) == expected.reshape(-1).view(np.uint32)).sum())
    return "all equal" if equal == expected.size else f"{expected.size - equal} of {expected.size} differ"


def same_hash(found: str, expected: NDArray[np.float32]) -> str:
    return "all equal" if found == hashlib.sha256(expected.astype("<f4").tobytes()).hexdigest() else "differ"


def distance(found: NDArray[np.float32], expected: NDArray[np.float32]) -> str:
    off = float(np.abs(found.reshape(-1) - expected.reshape(-1)).max())
    return "equal" if off == 0 else f"within {off:.1e}"


def milliseconds(run: Callable[[], object], steps: int, repeats: int = 5) -> float:
    """The median time of one of the `steps` that `run` takes."""
    run()
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return 1000 * statistics.median(times) / steps


def output_of(command: Sequence[Any], **options: Any) -> str:
    """What a program prints. Raises Missing with the last line of its errors."""
    try:
        done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=900, check=False, **options)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Missing(str(error)[:80]) from error
    if done.returncode:
        raise Missing(((done.stderr or done.stdout).strip().splitlines() or ["it failed"])[-1][:80])
    return done.stdout


def floats(path: Path) -> NDArray[np.float32]:
    return np.fromfile(path, "<f4").astype(np.float32)
