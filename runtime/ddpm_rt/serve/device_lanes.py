"""Lanes on a GPU: x, x0 and the noise stay there, and the host only says which chain is in which lane."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..denoiser import Batch
from ..device.chain import DeviceChain
from ..device.device_denoiser import DeviceDenoiser
from ..device.device_engine import DeviceEngine
from ..device.driver import Pinned, cuda_core, cuda_errors
from ..device.graphs import Mode
from ..device.kernels import Kernels
from ..device.lanes import FINITE, LANE, MAX_LANES, ROW
from ..device.layout import Layout
from ..errors import DdpmRtError
from ..host_loop import not_finite
from .chain import Chain
from .host_lanes import Lanes, initial_states


class DeviceLanes(Lanes):
    """Lanes of an engine on a device. `rows` is the most rows of a table.

    Chains with guidance and chains without have lanes of their own, and a call of the network each: a lane of the
    kernels is guided or not. A chain that is not in the next step is read back, and can go on in any lane later.
    """

    def __init__(
        self, gpu: Any, engine: DeviceEngine, kernels: Kernels, *, batch: int, rows: int, mode: Mode = "replay"
    ) -> None:
        self._gpu, self._engine, self._kernels, self._rows, self._mode = gpu, engine, kernels, rows, mode
        self.batch = min(batch, engine.batch_for(batch), MAX_LANES)
        self._held: dict[bool, _HeldChains] = {}  # by whether they are guided

    def step(self, chains: Sequence[Chain]) -> None:
        with cuda_errors("the GPU cannot be used"):
            self._gpu.set_current()  # for this thread
        try:
            for guided in (False, True):
                members = [chain for chain in chains if (chain.images == 2) == guided]
                if members:
                    self._of(guided).step(members)
                elif guided in self._held:
                    self._held[guided].release([])
        except BaseException:
            self.close()  # what the lanes hold is in an unknown state
            raise

    def fetch(self, chains: Sequence[Chain]) -> None:
        for held in self._held.values():
            held.fetch(chains)

    def close(self) -> None:
        for held in self._held.values():
            held.close()
        self._held.clear()

    def _of(self, guided: bool) -> "_HeldChains":
        if guided not in self._held:
            count = max(1, self.batch // 2) if guided else self.batch
            images = self._engine.batch_for(2 * count if guided else count)
            lanes = min(images // 2 if guided else images, MAX_LANES)
            if lanes == 0:
                raise DdpmRtError("guidance needs an engine that takes at least two images; build it with --batch 2")
            layout = Layout(lanes, images, guided, history=True)
            room = np.zeros(lanes * self._rows, ROW)
            self._held[guided] = _HeldChains(self._gpu, self._engine, self._kernels, room, layout, self._mode)
        return self._held[guided]


class _HeldChains(DeviceChain):
    """A batch on the device whose lanes hold chains that come and go."""

    def __init__(self, *made: Any) -> None:
        super().__init__(*made)
        self._slots: list[Chain | None] = [None] * self.layout.lanes
        self._places: dict[int, int] = {}  # of the tables in use: id of the rows to the index of the first
        engine: DeviceEngine = made[1]
        shape = engine.card.image_shape
        self._null_class = engine.card.null_class
        try:
            self._x0_host = self._resources.add(Pinned((self.layout.lanes, *shape), np.float32))
            self._t_host = self._resources.add(Pinned((self.layout.images,), engine.time_type))
            self._y_host = self._resources.add(Pinned((self.layout.images,), np.int64))
            self._rows_host = self._resources.add(Pinned((len(self.rows),), ROW))
        except BaseException:
            self.close()
            raise

    def step(self, chains: Sequence[Chain]) -> None:
        """Take each chain through its next row; those that are over have left their lanes."""
        with cuda_errors("the GPU refused a step"):
            self.release(chains)
            self._place_tables(chains)
            for chain in chains:
                if chain not in self._slots:
                    self._join(self._slots.index(None), chain)
            self._launcher.launch(1, singly=True)
            self._stream.sync()
            for chain in chains:
                chain.row += 1
            self._finish([chain for chain in chains if chain.is_over])

    def release(self, keeping: Sequence[Chain]) -> None:
        """Read back the chains that are not among these, and leave their lanes idle."""
        gone = [chain for chain in self._slots if chain is not None and chain not in keeping]
        self.fetch(gone)
        for chain in gone:
            slot = self._slots.index(chain)
            self._lanes.array[slot] = np.zeros((), LANE)  # row 0 of 0: done
            self._copy("lanes", self._lanes, slot, slot)
            self._slots[slot] = None
        if gone:
            self._stream.sync()

    def fetch(self, chains: Sequence[Chain]) -> None:
        """Set x and x0 of those of the chains that are in a lane."""
        held = [(slot, chain) for slot, chain in enumerate(self._slots) if chain is not None and chain in chains]
        with cuda_errors("the GPU failed"):
            for slot, _ in held:
                for name, pinned in (("x", self._x), ("x0", self._x0_host)):
                    self._copy(name, pinned, slot, slot, to_host=True)
            if held:
                self._stream.sync()
        for slot, chain in held:
            chain.x, chain.x0 = self._x.array[slot].copy(), self._x0_host.array[slot].copy()

    def _place_tables(self, chains: Sequence[Chain]) -> None:
        """Copy the tables of these chains, if one is new. There is room for one of each lane; others are dropped."""
        needed = {id(chain.rows): chain.rows for chain in chains}
        if needed.keys() <= self._places.keys():
            return
        self._places, at = {}, 0
        for key, rows in needed.items():
            self._rows_host.array[at : at + len(rows)] = rows
            self._places[key], at = at, at + len(rows)
        self._tables = list(needed.values())  # as long as they are alive, no other table has their identity
        self._copy_in("rows", self._rows_host)
        held = [slot for slot, chain in enumerate(self._slots) if chain is not None]
        for slot in held:  # their tables may have moved
            self._set_lane(slot, self._slots[slot])
        self._stream.sync()

    def _join(self, slot: int, chain: Chain) -> None:
        shape = self._x.array.shape[1:]
        if chain.x is None:
            chain.x = initial_states([chain], int(np.prod(shape))).reshape(shape)
        self._x.array[slot] = chain.x
        self._x0_host.array[slot] = 0.0 if chain.x0 is None else chain.x0
        t = chain.rows["t"][chain.row]
        images = (slot, self.layout.lanes + slot) if self.layout.guided else (slot,)
        labels = (chain.label, self._null_class)
        for image, label in zip(images, labels, strict=False):
            self._t_host.array[image] = t
            self._copy("x", self._x, slot, image)
            self._copy("t", self._t_host, image, image)
            if label is not None:
                self._y_host.array[image] = label
                self._copy("y", self._y_host, image, image)
        self._copy("x0", self._x0_host, slot, slot)
        self._set_lane(slot, chain)
        self._slots[slot] = chain

    def _set_lane(self, slot: int, chain: Chain | None) -> None:
        assert chain is not None
        lane = np.zeros((), LANE)
        lane["seed"], lane["sample"], lane["table"] = chain.seed, chain.sample, self._places[id(chain.rows)]
        lane["row"], lane["end"], lane["not_finite"] = chain.row, chain.steps, FINITE
        lane["guidance"], lane["initial_scale"] = chain.guidance, chain.initial_scale
        self._lanes.array[slot] = lane
        self._copy("lanes", self._lanes, slot, slot)

    def _finish(self, over: Sequence[Chain]) -> None:
        """Read the chains that are over, see whether they are finite, and free their lanes."""
        self.fetch(over)
        for chain in over:
            slot = self._slots.index(chain)
            self._copy("lanes", self._lanes, slot, slot, to_host=True)
        if over:
            self._stream.sync()
        for chain in over:
            slot = self._slots.index(chain)
            chain.error = self._error_of(chain, int(self._lanes.array["not_finite"][slot]))
            self._slots[slot] = None

    def _error_of(self, chain: Chain, row: int) -> DdpmRtError | None:
        assert chain.x is not None
        nothing: Batch = np.full((1, 1), np.nan, np.float32)
        if row != FINITE:
            return not_finite("the network's output", nothing, [chain.sample], row, chain.time(row))
        if not np.isfinite(chain.x).all():
            last = chain.steps - 1
            return not_finite("the image", nothing, [chain.sample], last, chain.time(last))
        return None

    def _copy(self, name: str, pinned: Pinned, host: int, device: int, *, to_host: bool = False) -> None:
        """Copy one entry between an array of the host and a part of the device's memory."""
        entry: NDArray[Any] = pinned.array[host : host + 1]
        begin = int(pinned.buffer.handle) + host * entry.nbytes
        here = cuda_core().Buffer.from_handle(begin, entry.nbytes)
        there = self._arena.buffer(name, device * entry.nbytes, entry.nbytes)
        if to_host:
            there.copy_to(here, stream=self._stream)
        else:
            there.copy_from(here, stream=self._stream)


def device_lanes_of(engine: DeviceDenoiser, batch: int, rows: int) -> DeviceLanes | None:
    """Lanes on the device of an engine; None where the host must run them.

    That is where the network takes one t for all images, conditions, or the x0 of the step before.
    """
    loop, card = engine.loop, engine.card
    if engine.one_time or loop is None or card.conditions or card.prev_x0 is not None:
        return None
    mode: Mode = "stream" if getattr(loop, "mode", "replay") == "stream" else "replay"
    kernels: Kernels = loop.kernels()  # type: ignore[attr-defined]
    return DeviceLanes(engine.gpu, engine.device_engine, kernels, batch=batch, rows=rows, mode=mode)
