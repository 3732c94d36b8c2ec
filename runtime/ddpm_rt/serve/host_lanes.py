"""A step of chains that stand at different rows of different tables, in one call of the network."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..denoiser import Batch, Times
from ..device.lanes import ROW
from ..engine import Engine
from ..errors import NotFiniteError
from ..host_loop import RowNumbers, State, add_noise, not_finite, update
from ..limits import MAX_BATCH
from ..noise import INITIAL_STEP, lane_normals
from ..requests.conditioned import guided_output
from ..samplers.table import StepTable
from .chain import Chain

Column = NDArray[np.float32]  # [B, 1, 1, 1]


class Lanes(Protocol):
    """What runs the chains of a batch: on the host, or where the engine is."""

    batch: int  # the most images to a call

    def step(self, chains: Sequence[Chain]) -> None:
        """Take each chain through its next row. A chain whose values are not finite gets an `error`.

        The chains may be other ones at every call. Raises DdpmRtError when the engine fails.
        """

    def fetch(self, chains: Sequence[Chain]) -> None:
        """Set `x` and `x0` of chains that have made a step, where `step` left them on a device."""

    def close(self) -> None:
        """Free what the lanes hold; the engine stays open."""


class HostLanes(Lanes):
    """Lanes in NumPy for any engine. The arithmetic is `host_loop`'s, so that noise and updates have its bits."""

    def __init__(self, engine: Engine, batch: int = MAX_BATCH) -> None:
        self.engine, self.batch = engine, batch
        self._size = int(np.prod(engine.card.image_shape))

    def step(self, chains: Sequence[Chain]) -> None:
        with np.errstate(over="ignore", invalid="ignore"):  # values that are not finite are an error of their chain
            self._step(chains)

    def fetch(self, chains: Sequence[Chain]) -> None:
        pass

    def close(self) -> None:
        pass

    def _step(self, chains: Sequence[Chain]) -> None:
        rows = np.array([chain.rows[chain.row] for chain in chains], ROW)
        x, prev_x0 = self._state(chains)
        output = self._network(x, rows["t"], chains)
        channels = self.engine.card.image_shape[0]
        out, spread = output[:, :channels], output[:, channels:]
        numbers = RowNumbers(*(_column(rows[name]) for name in StepTable._fields[1:]))
        x0, part = np.empty_like(x), np.empty_like(x)
        update(numbers, (_column(rows["clip_low"]), _column(rows["clip_high"])), out, State(x, x0, prev_x0, part))
        if (noisy := np.flatnonzero(rows["sigma"])).size:
            add_noise(numbers, spread, self._noise(chains, noisy, x.shape), x, part)
        self._store(chains, output, x, x0)

    def _state(self, chains: Sequence[Chain]) -> tuple[Batch, Batch]:
        """x and the x0 before, `[B, C, H, W]`, in new arrays; chains that begin get their x_T."""
        shape = self.engine.card.image_shape
        if begin := [chain for chain in chains if chain.x is None]:
            addresses = [chain.seed for chain in begin], [chain.sample for chain in begin]
            drawn = lane_normals(*addresses, [INITIAL_STEP] * len(begin), self._size)
            for chain, x in zip(begin, drawn, strict=True):
                chain.x = x.reshape(shape)
        nothing = np.zeros(shape, np.float32)
        x = np.stack([chain.x for chain in chains if chain.x is not None])
        return x, np.stack([nothing if chain.x0 is None else chain.x0 for chain in chains])

    def _noise(self, chains: Sequence[Chain], noisy: NDArray[np.intp], shape: tuple[int, ...]) -> Batch:
        z = np.zeros((len(chains), self._size), np.float32)
        those = [chains[lane] for lane in noisy]
        addresses = [chain.seed for chain in those], [chain.sample for chain in those], [chain.row for chain in those]
        z[noisy] = lane_normals(*addresses, self._size)
        return z.reshape(shape)

    def _network(self, x: Batch, t: Times, chains: Sequence[Chain]) -> Batch:
        """The output for each chain `[B, C or 2 C, H, W]`, guidance applied.

        Everything that the network takes besides x and t is assembled here, an entry for each image: today y.
        """
        card, count = self.engine.card, len(chains)
        guided = [lane for lane, chain in enumerate(chains) if chain.images == 2]
        y = None if card.classes is None else np.array([chain.label for chain in chains], np.int64)
        if not guided:
            return self._call(x, t, y)
        assert y is not None
        null = np.full(len(guided), card.null_class, np.int64)
        out = self._call(np.concatenate([x, x[guided]]), np.concatenate([t, t[guided]]), np.concatenate([y, null]))
        scale = _column(np.array([chains[lane].guidance for lane in guided], np.float32))
        labelled = np.array(out[:count])  # an engine may keep its output
        labelled[guided] = guided_output(labelled[guided], out[count:], scale, card.image_shape[0])
        return labelled

    def _call(self, x: Batch, t: Times, y: NDArray[np.int64] | None) -> Batch:
        times = np.unique(t)
        if not self.engine.one_time or len(times) == 1:
            return self.engine(x, t) if y is None else self.engine(x, t, y)
        parts = [(at := np.flatnonzero(t == time), self._call(x[at], t[at], None if y is None else y[at]))
                 for time in times]  # fmt: skip
        out = np.empty((len(x), *parts[0][1].shape[1:]), np.float32)
        for at, part in parts:
            out[at] = part
        return out

    def _store(self, chains: Sequence[Chain], output: Batch, x: Batch, x0: Batch) -> None:
        well = np.asarray(np.isfinite(output).reshape(len(chains), -1).all(axis=1))
        for lane, chain in enumerate(chains):
            if not well[lane]:
                chain.error = _error_of(chain, "the network's output", output[lane])
            elif chain.row == chain.steps - 1 and not np.isfinite(x[lane]).all():
                chain.error = _error_of(chain, "the image", x[lane])
            chain.x, chain.x0, chain.row = x[lane], x0[lane], chain.row + 1


def _error_of(chain: Chain, what: str, values: Batch) -> NotFiniteError:
    return not_finite(what, values[None], [chain.sample], chain.row, int(chain.rows["t"][chain.row]))


def _column(values: NDArray[np.float32]) -> Column:
    return np.ascontiguousarray(values, np.float32).reshape(-1, 1, 1, 1)
