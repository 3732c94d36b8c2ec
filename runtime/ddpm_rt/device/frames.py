"""Copies of images to the host while the chain continues."""

from collections import deque
from typing import Any, NamedTuple

import numpy as np

from ..host_loop import Step
from .driver import Arena, Pinned, Resources

SLOTS = 2  # one is read while the other is filled


class _Slot(NamedTuple):
    x: Pinned
    x0: Pinned
    event: Any  # recorded when both copies are complete


class Frames:
    """Copies of x and x0, float32 `[lanes, C, H, W]`, taken between steps and read later.

    The pinned memory is allocated once, here.
    """

    def __init__(self, stream: Any, arena: Arena, images: tuple[int, ...]) -> None:
        self._stream, self._arena = stream, arena
        self._resources = Resources()
        self._free = [self._slot(images) for _ in range(SLOTS)]
        self._taken: deque[tuple[int, float, int, _Slot]] = deque()

    def _slot(self, images: tuple[int, ...]) -> _Slot:
        x, x0 = (self._resources.add(Pinned(images, np.float32)) for _ in range(2))
        return _Slot(x, x0, self._resources.add(self._stream.record()))

    @property
    def is_full(self) -> bool:
        """Whether the oldest copy must be read before the next `take`."""
        return not self._free

    @property
    def is_empty(self) -> bool:
        return not self._taken

    def take(self, row: int, t: float, count: int) -> None:
        """Queue a copy of the first `count` images at this point of the stream."""
        slot = self._free.pop()
        for name, pinned in (("x", slot.x), ("x0", slot.x0)):
            part = self._arena.buffer(name, size=pinned.buffer.size)
            part.copy_to(pinned.buffer, stream=self._stream)
        self._stream.record(slot.event)
        self._taken.append((row, t, count, slot))

    def read(self) -> Step:
        """The oldest copy. Waits for the GPU; the arrays are valid until the next `take`."""
        row, t, count, slot = self._taken.popleft()
        slot.event.sync()
        self._free.append(slot)
        return Step(row, t, slot.x.array[:count], slot.x0.array[:count])

    def close(self) -> None:
        self._resources.close()
