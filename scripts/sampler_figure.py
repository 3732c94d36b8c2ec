"""Measure how well each sampler draws from a known distribution: a mixture of two modes with an exact network.

    python scripts/sampler_figure.py

Every pixel is one draw. `left` is the share of the left mode. `W1` is the mean distance between the sorted samples and
the quantiles of the mixture; the last line gives its value for perfect draws of this size. `from the ODE` is the RMS
distance between a deterministic sampler's samples and the exact solutions of the probability flow ODE from the same
noise. The mixture is one-dimensional, so the flow preserves order and maps quantiles to quantiles.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddpm_rt import Schedule, StepTable, noise, trajectory
from ddpm_rt.samplers import SAMPLERS
from ddpm_rt.samplers.dialects import DIALECTS
from ddpm_rt.samplers.schedule import Spacing

Floats = NDArray[np.float64]
SHAPE, SAMPLES, SEED = (1, 16, 16), 256, 1
SCHEDULE = Schedule(np.linspace(1e-4, 0.02, 1000))
GRID = np.linspace(-8.0, 8.0, 8001)


@dataclass(frozen=True)
class Mixture:
    """A mixture of two normal modes on a line, at every noise level of the forward process."""

    weights: tuple[float, float] = (0.3, 0.7)
    means: tuple[float, float] = (-0.6, 0.5)
    deviations: tuple[float, float] = (0.15, 0.2)

    def _at(self, alpha_bar: Floats) -> list[tuple[float, Floats, Floats]]:
        """The weight, mean and variance of each mode of x_t at `alpha_bar`."""
        modes = zip(self.weights, self.means, self.deviations, strict=True)
        return [(w, np.sqrt(alpha_bar) * m, alpha_bar * d * d + 1.0 - alpha_bar) for w, m, d in modes]

    def eps(self, x: NDArray[np.float32], alpha_bar: Floats) -> Floats:
        """The expected noise in x, which is -sqrt(1 - alpha_bar) times the score."""
        modes = self._at(alpha_bar)
        logs = np.stack([np.log(w) - 0.5 * (np.log(v) + (x - m) ** 2 / v) for w, m, v in modes])
        shares = np.exp(logs - logs.max(0))
        shares /= shares.sum(0)
        score = sum(share * (m - x) / v for share, (_, m, v) in zip(shares, modes, strict=True))
        return np.asarray(-np.sqrt(1.0 - alpha_bar) * score)

    def cdf(self, alpha_bar: float) -> Floats:
        """The cumulative distribution function of x on the grid."""
        modes = self._at(np.float64(alpha_bar))
        return np.asarray(sum(w * (1 + _erf((GRID - m) / np.sqrt(2 * v))) / 2 for w, m, v in modes))

    def flow(self, x: Floats, alpha_bar: float) -> Floats:
        """The end of the probability flow ODE from x: a value of the data."""
        return np.interp(np.interp(x, GRID, self.cdf(alpha_bar)), self.cdf(1.0), GRID)

    def moments(self) -> tuple[float, float]:
        """The mean and standard deviation of the data."""
        mean = float(np.dot(self.weights, self.means))
        square = float(np.dot(self.weights, np.square(self.means) + np.square(self.deviations)))
        return mean, math.sqrt(square - mean * mean)


def _erf(values: Floats) -> Floats:
    return np.array([math.erf(value) for value in values])


MIXTURE = Mixture()


def network(x: NDArray[np.float32], t: NDArray[np.int64]) -> NDArray[np.float32]:
    """The exact network for prediction eps."""
    return MIXTURE.eps(x, SCHEDULE.alpha_bar[t].reshape(-1, 1, 1, 1)).astype(np.float32)


def jump(x: NDArray[np.float32], t: NDArray[np.int64]) -> NDArray[np.float32]:
    """The ideal network for `lcm`, whose predicted x0 is the end of the probability flow ODE."""
    flat = MIXTURE.flow(x.ravel().astype(np.float64), float(SCHEDULE.alpha_bar[t[0]]))
    return flat.reshape(x.shape).astype(np.float32)


class Row(NamedTuple):
    """The figures of one sampler."""

    name: str
    spacing: str
    steps: int
    left: float
    mean: float
    deviation: float
    distance: float  # W1
    from_flow: float


def draw(table: StepTable, *, distilled: bool = False) -> Floats:
    """The final pixels, in the order of `noise`."""
    steps = trajectory(jump if distilled else network, table, SHAPE, seed=SEED, samples=range(SAMPLES), clip=None)
    *_, last = steps
    return last.x.astype(np.float64).ravel()


def measure(name: str, steps: int, spacing: Spacing = "trailing", **options: object) -> Row:
    """Run one sampler."""
    distilled, visited = name == "lcm", DIALECTS["ho2020"].timesteps(SCHEDULE, steps, spacing, name)
    given = {"prediction": "x0" if distilled else "eps", **options}
    found = draw(SAMPLERS[name].table(SCHEDULE, visited, **given), distilled=distilled)
    words = " ".join([name, *(f"{value}" for value in options.values())])
    return row_of(words, spacing, steps, found)


def row_of(name: str, spacing: str, steps: int, found: Floats) -> Row:
    """The statistics of `found`."""
    start = noise.normal(SEED, range(SAMPLES), noise.INITIAL_STEP, int(np.prod(SHAPE))).astype(np.float64).ravel()
    flowed = MIXTURE.flow(start, float(SCHEDULE.alpha_bar[-1]))
    middles = (np.arange(len(found)) + 0.5) / len(found)
    quantiles = np.interp(middles, MIXTURE.cdf(1.0), GRID)
    distance = float(np.abs(np.sort(found) - quantiles).mean())
    from_flow = float(np.sqrt(((found - flowed) ** 2).mean()))
    return Row(
        name, spacing, steps, float((found < 0).mean()), float(found.mean()), float(found.std()), distance, from_flow
    )


def rows() -> Iterator[Row]:
    """All rows of the figure."""
    yield measure("ddpm", 1000)
    yield measure("ddpm", 50)
    yield measure("ddpm", 50, variance="fixed_large")
    yield measure("ddim", 50, eta=0.5)
    yield measure("ddim", 100)
    yield measure("ddim", 50)
    yield measure("ddim", 20)
    yield measure("dpm++", 20)
    yield measure("dpm++", 20, "logsnr")
    yield measure("dpm++", 10, "logsnr")
    yield measure("dpm++sde", 50, "logsnr")
    yield measure("dpm++sde", 20, "logsnr")
    yield measure("euler", 50)
    yield measure("euler-a", 50)
    yield measure("lcm", 4)
    perfect = np.random.default_rng(0).random(SAMPLES * int(np.prod(SHAPE)))
    yield row_of("(draws from the mixture)", "", 0, np.interp(perfect, MIXTURE.cdf(1.0), GRID))


def main() -> None:
    """Print the figure as a Markdown table."""
    mean, deviation = MIXTURE.moments()
    print("| sampler | spacing | steps | left | mean | deviation | W1 | from the ODE |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    print(f"| the mixture | | | {MIXTURE.weights[0]:.3f} | {mean:.3f} | {deviation:.3f} | 0 | 0 |")
    deterministic = ("ddim", "dpm++", "euler")
    for row in rows():
        flow = f"{row.from_flow:.4f}" if row.name in deterministic else ""
        numbers = f"{row.left:.3f} | {row.mean:.3f} | {row.deviation:.3f} | {row.distance:.4f} | {flow}"
        print(f"| {row.name} | {row.spacing} | {row.steps or ''} | {numbers} |")


if __name__ == "__main__":
    main()
