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
from ..requests.conditioned import Conditions, guided_output
from ..samplers.table import StepTable
from .chain import Chain

Column = NDArray[np.float32]  # [B, 1, ...]


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
        output = self._network(x, _times(rows["t"]), prev_x0, chains)
        channels = self.engine.card.image_shape[0]
        out, spread = output[:, :channels], output[:, channels:]
        numbers = RowNumbers(*(self._column(rows[name]) for name in StepTable._fields[1:]))
        bounds = self._bound(rows["clip_low"]), self._bound(rows["clip_high"])
        x0, part = np.empty_like(x), np.empty_like(x)
        update(numbers, bounds, out, State(x, x0, prev_x0, part))
        if (noisy := np.flatnonzero(rows["sigma"])).size:
            add_noise(numbers, spread, self._noise(chains, noisy, x.shape), x, part)
        self._store(chains, output, x, x0)

    def _bound(self, values: NDArray[np.float32]) -> np.float32 | Column:
        """One number where all chains have the same: the loop clips faster to it."""
        first: np.float32 = values[0]
        return first if (values == first).all() else self._column(values)

    def _column(self, values: NDArray[np.float32]) -> Column:
        return np.ascontiguousarray(values, np.float32).reshape(-1, *[1] * len(self.engine.card.image_shape))

    def _state(self, chains: Sequence[Chain]) -> tuple[Batch, Batch]:
        """x and the x0 before, `[B, C, ...]`, in new arrays; chains that begin get their x_T."""
        shape = self.engine.card.image_shape
        if begin := [chain for chain in chains if chain.x is None]:
            for chain, x in zip(begin, initial_states(begin, self._size), strict=True):
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

    def _network(self, x: Batch, t: Times, prev_x0: Batch, chains: Sequence[Chain]) -> Batch:
        """The output for each chain `[B, C or 2 C, ...]`, guidance applied: each guided chain has a second image."""
        card, count = self.engine.card, len(chains)
        guided = [lane for lane, chain in enumerate(chains) if chain.images == 2]
        again = [*range(count), *guided] if guided else slice(None)
        out = self._call(x[again], t[again], prev_x0[again], self._conditions(chains, guided))
        if not guided:
            return out
        scale = self._column(np.array([chains[lane].guidance for lane in guided], np.float32))
        conditioned = np.array(out[:count])  # an engine may keep its output
        conditioned[guided] = guided_output(conditioned[guided], out[count:], scale, card.image_shape[0])
        return conditioned

    def _conditions(self, chains: Sequence[Chain], guided: Sequence[int]) -> Conditions:
        """What the images are conditioned on: those of all chains, then the second ones of guided chains."""
        card, without = self.engine.card, [chains[lane] for lane in guided]
        null_class = card.null_class
        labels = None
        if card.classes is not None:
            null = [chain.label if null_class is None else null_class for chain in without]
            labels = np.array([*(chain.label for chain in chains), *null], np.int64)
        inputs = {
            name: np.stack([*(chain.inputs[name] for chain in chains),
                            *(chain.null_inputs.get(name, chain.inputs[name]) for chain in without)])
            for name in card.conditions
        }  # fmt: skip
        return Conditions(labels, inputs, card.prev_x0)

    def _call(self, x: Batch, t: Times, prev_x0: Batch, conditions: Conditions) -> Batch:
        times = np.unique(t)
        if not self.engine.one_time or len(times) == 1:
            return self.engine(x, t, *conditions.given((prev_x0,)))
        out: Batch | None = None
        for time in times:
            at = np.flatnonzero(t == time)
            labels = None if conditions.labels is None else conditions.labels[at]
            inputs = {name: value[at] for name, value in conditions.inputs.items()}
            part = self._call(x[at], t[at], prev_x0[at], Conditions(labels, inputs, conditions.prev_x0))
            out = np.empty((len(x), *part.shape[1:]), np.float32) if out is None else out
            out[at] = part
        assert out is not None
        return out

    def _store(self, chains: Sequence[Chain], output: Batch, x: Batch, x0: Batch) -> None:
        well = np.asarray(np.isfinite(output).reshape(len(chains), -1).all(axis=1))
        for lane, chain in enumerate(chains):
            if not well[lane]:
                chain.error = _error_of(chain, "the network's output", output[lane])
            elif chain.row == chain.steps - 1 and not np.isfinite(x[lane]).all():
                chain.error = _error_of(chain, "the image", x[lane])
            chain.x, chain.x0, chain.row = x[lane], x0[lane], chain.row + 1


def initial_states(chains: Sequence[Chain], size: int) -> Batch:
    """x_T of chains, float32 `[B, size]`."""
    addresses = [chain.seed for chain in chains], [chain.sample for chain in chains]
    scales = np.array([[chain.initial_scale] for chain in chains], np.float32)
    return np.multiply(scales, lane_normals(*addresses, [INITIAL_STEP] * len(chains), size), dtype=np.float32)


def _times(t: NDArray[np.float64]) -> Times:
    """As integers where all are whole: a network of integers takes no others."""
    whole = np.rint(t)
    return whole.astype(np.int64) if (t == whole).all() else t


def _error_of(chain: Chain, what: str, values: Batch) -> NotFiniteError:
    return not_finite(what, values[None], [chain.sample], chain.row, chain.time(chain.row))
