"""One row of a step table as nodes of a loop's body, with the arithmetic of `ddpm_rt/host_loop.py`."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ddpm_rt.samplers.compiled_sampler import CompiledSampler
from ddpm_rt.samplers.dialects import Clip

from .exponential_nodes import exponential
from .nodes import Nodes
from .noise_nodes import NoiseInputs, normals, step_words

Floats = NDArray[np.float32]


class Terms(NamedTuple):
    """The terms of x_next that a table uses in some row. A term that no row uses has no nodes."""

    out: bool
    prev_x0: bool
    noise: bool
    spread: bool

    @classmethod
    def of(cls, sampler: CompiledSampler) -> "Terms":
        table = sampler.table
        columns = (table.mean_from_out, table.mean_from_prev_x0, table.sigma, table.log_sigma_from_spread)
        return cls(*(bool(np.asarray(column, np.float32).any()) for column in columns))


class Row(NamedTuple):
    """The coefficients of the row that an iteration runs, as values `[]`."""

    graph: Nodes
    iteration: str
    sampler: CompiledSampler

    def coefficient(self, name: str) -> str:
        return self.graph.call("Gather", self._column(name), self.iteration)

    def _column(self, name: str) -> Floats:
        return np.asarray(getattr(self.sampler.table, name), np.float32)

    def where_used(self, name: str, with_term: str, without: str) -> str:
        """`with_term` where the row's coefficient is not 0: infinity times 0 would be NaN."""
        used = self._column(name) != 0
        if used.all():
            return with_term
        return self.graph.call("Where", self.graph.call("Gather", used, self.iteration), with_term, without)


def predicted_x0(row: Row, x: str, out: str, clip: Clip) -> str:
    """x0 = clip(x0_from_x x + x0_from_out out). NaN stays NaN."""
    graph = row.graph
    of_x, of_out = graph.mul(row.coefficient("x0_from_x"), x), graph.mul(row.coefficient("x0_from_out"), out)
    x0 = graph.add(of_x, of_out)
    if clip is None:
        return x0
    low, high = map(np.float32, clip)
    x0 = graph.call("Where", graph.call("Less", x0, low), low, x0)
    return graph.call("Where", graph.call("Greater", x0, high), high, x0)


def next_x(row: Row, terms: Terms, x: str, x0: str, prev_x0: str | None, out: str) -> str:
    """The mean of x after the row, without its noise."""
    graph = row.graph
    x = graph.mul(row.coefficient("mean_from_x"), x)
    x = graph.add(x, graph.mul(row.coefficient("mean_from_x0"), x0))
    if terms.out:
        term = graph.add(x, graph.mul(row.coefficient("mean_from_out"), out))
        x = row.where_used("mean_from_out", term, x)
    if prev_x0 is not None:
        term = graph.add(x, graph.mul(row.coefficient("mean_from_prev_x0"), prev_x0))
        x = row.where_used("mean_from_prev_x0", term, x)
    return x


def with_noise(row: Row, known: NoiseInputs, x: str, spread: str | None, shape: tuple[int, ...]) -> str:
    """x + sigma exp(log_sigma_from_spread spread) z, where the row's sigma is not 0."""
    graph = row.graph
    words = step_words(list(range(row.sampler.table.steps)))
    z = normals(graph, known, graph.call("Gather", words, row.iteration, axis=0), shape)
    part = graph.mul(row.coefficient("sigma"), z)
    if spread is not None:
        grown = exponential(graph, graph.mul(row.coefficient("log_sigma_from_spread"), spread))
        part = row.where_used("log_sigma_from_spread", graph.mul(part, grown), part)
    return row.where_used("sigma", graph.add(x, part), x)
