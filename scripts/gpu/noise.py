"""Part noise: the GPU's normals have the bits of NumPy's normals."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ddpm_rt import noise
from ddpm_rt.device.lanes import ROW, lanes_of, rows_of
from ddpm_rt.device.layout import Layout
from ddpm_rt.samplers.table import StepTable

from .bits import differing
from .check import Ask, Check, Outcome, attempt, held
from .toy import ToyEngine, toy_card
from .workbench import Workbench

MANY = 1 << 22  # elements per image; four images are 2^24 values
EDGES = (0, 1, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 32, (1 << 64) - 1)  # seeds and sample numbers
ROWS = (0, 1, 1000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFD)  # steps; the last is the largest row with an `end` after it

NO_ROWS = np.zeros(1, ROW)  # the rows of a step table that never runs


def initial_noise(device: Any, shape: tuple[int, int, int], seed: int, samples: tuple[int, ...]) -> int:
    """The number of values of x_T that differ."""
    size = int(np.prod(shape))
    lanes = lanes_of(seed, samples, end=1)
    engine = ToyEngine(device, toy_card(shape))
    with Workbench(device, engine, Layout(len(samples), len(samples)), NO_ROWS, lanes) as bench:
        bench.launch("ddpm_rt_begin")
        found = bench.read("x", (len(samples), size))
    return differing(found, noise.normal(seed, samples, noise.INITIAL_STEP, size))


def step_noise(device: Any, shape: tuple[int, int, int], seed: int, sample: int) -> int:
    """The number of differing values in the noise of all ROWS, in one launch with every lane at another row.

    All coefficients but sigma are 0, so that x becomes 0 + z. The batch has one table row. A lane's table index is the
    negative of its row, so that their sum, which wraps at 32 bits, is index 0.
    """
    size, count = int(np.prod(shape)), len(ROWS)
    zero = np.zeros(1)
    rows = rows_of(StepTable(np.zeros(1, np.int64), *[zero] * 6, zero + 1.0, zero), None)
    lanes = lanes_of(seed, [sample] * count, end=1)
    lanes["row"], lanes["end"] = ROWS, np.array(ROWS) + 1
    lanes["table"] = [-row % (1 << 32) for row in ROWS]
    with Workbench(device, ToyEngine(device, toy_card(shape)), Layout(count, count), rows, lanes) as bench:
        bench.launch("ddpm_rt_step")  # x and out are zeros
        found = bench.read("x", (count, size))
    expected = np.concatenate([noise.normal(seed, [sample], row, size) for row in ROWS])
    return differing(found, expected + np.float32(0))  # -0 + 0 is 0


def checks(ask: Ask) -> Iterator[Check]:
    """2^24 values of x_T, then the limits of the counter and of the image."""
    many = (1, 1, MANY >> (4 if ask.quick else 0))

    def bulk() -> Outcome:
        wrong = initial_noise(ask.device, many, 7, (0, 1, 40, 41))
        return held(wrong == 0, f"{wrong} of {4 * many[2]} differ", values=4 * many[2], differing=wrong)

    def edges() -> Outcome:
        wrong = sum(initial_noise(ask.device, (3, 5, 7), seed, EDGES) for seed in EDGES)
        return held(wrong == 0, f"{wrong} of {105 * len(EDGES) ** 2} differ", differing=wrong)

    def steps() -> Outcome:
        wrong = sum(step_noise(ask.device, (3, 5, 7), seed, sample) for seed in EDGES for sample in EDGES)
        return held(wrong == 0, f"{wrong} of {105 * len(ROWS) * len(EDGES) ** 2} differ", differing=wrong)

    yield attempt("x_T is NumPy's to the bit", bulk)
    yield attempt("x_T is NumPy's at the edges of seed, sample and image", edges)
    yield attempt("a step's noise is NumPy's at the edges of seed, sample, row and image", steps)
