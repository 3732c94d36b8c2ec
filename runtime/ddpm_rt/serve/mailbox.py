"""Events of a job, from the scheduler's thread to one reader in the event loop."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from ..host_loop import Step
from .job import Listener

PREVIEW_BYTES = 4 << 20  # of the previews that wait for a reader; a slow one misses the oldest


class Preview(NamedTuple):
    """A sample after a step."""

    place: int  # in the job
    step: Step


class Drawn(NamedTuple):
    """A sample that is done."""

    place: int


class Mailbox:
    """Previews and drawn samples in order. The memory that a slow reader costs is bounded: previews are dropped."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: deque[Preview | Drawn] = deque()
        self._previews = 0
        self._ready = asyncio.Event()

    def listener(self, frames: range | list[int]) -> Listener:
        """Callbacks for the scheduler, which show the rows `frames`."""
        return Listener(self._stepped, lambda place: self._post(Drawn(place)), frozenset(frames))

    def _stepped(self, place: int, step: Step) -> None:
        kept = step._replace(x=np.empty(0, np.float32), x0=step.x0.copy())  # the array is a part of its batch
        self._post(Preview(place, kept))

    def _post(self, event: Preview | Drawn) -> None:
        with suppress(RuntimeError):  # the loop has ended, and the reader with it
            self._loop.call_soon_threadsafe(self._put, event)

    def _put(self, event: Preview | Drawn) -> None:
        self._events.append(event)
        self._previews += isinstance(event, Preview)
        if isinstance(event, Preview) and self._previews > max(1, PREVIEW_BYTES // event.step.x0.nbytes):
            self._drop_preview()
        self._ready.set()

    def _drop_preview(self) -> None:
        oldest = next(at for at, event in enumerate(self._events) if isinstance(event, Preview))
        del self._events[oldest]
        self._previews -= 1

    async def next(self) -> Preview | Drawn:
        """The oldest event."""
        while not self._events:
            self._ready.clear()
            await self._ready.wait()
        event = self._events.popleft()
        self._previews -= isinstance(event, Preview)
        return event
