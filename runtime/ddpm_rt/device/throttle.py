"""Bounds how far the host runs ahead of the GPU: far enough to keep it busy, near enough to stop it quickly."""

import time
from collections import deque
from collections.abc import Sequence
from typing import Any

MAX_INTERVAL = 16  # most steps between two marks
MARK_SECONDS = 0.02  # target time between two marks; a slow network gets a mark after every step


class Throttle:
    """Events in a stream that mark which steps are done.

    The host waits for the oldest of `events` when all are in use. Therefore it is ahead by at most three times
    MAX_INTERVAL steps, or about three times MARK_SECONDS.
    """

    def __init__(self, stream: Any, events: Sequence[Any]) -> None:
        self.done = 0  # steps known to be done
        self._stream, self._free = stream, deque(events)
        self._marks: deque[tuple[int, Any]] = deque()
        self._queued = self._marked = 0
        self._interval, self._since = 1, time.perf_counter()

    def queued(self, steps: int) -> bool:
        """Count queued steps: whether a mark was set, which is the time to read `done` or to pause."""
        self._queued += steps
        if self._queued - self._marked < self._interval:
            return False
        self._marked = self._queued
        self._marks.append((self._queued, self._stream.record(self._free.popleft())))
        if not self._free:
            self._wait()
        return True

    def _wait(self) -> None:
        done, event = self._marks.popleft()
        event.sync()
        now = time.perf_counter()
        each = max(now - self._since, 1e-9) / (done - self.done)  # the clock may be coarse
        self._interval = max(1, min(MAX_INTERVAL, int(MARK_SECONDS / each)))
        self._since, self.done = now, done
        self._free.append(event)
