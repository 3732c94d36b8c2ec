"""Continuous batching: one thread an engine, which decides before every call of the network whose rows it computes."""

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..errors import DdpmRtError
from ..text import one_line
from .fair_queue import Entry, FairQueue
from .host_lanes import Lanes
from .job import Job

SMOOTHING = 0.1  # weight of the newest step in the mean rate
LONGEST_WAIT = 60  # seconds, of the advice when to try again
SICK_AFTER = 3  # failed steps in a row


class QueueFull(Exception):
    """There is no room for so many samples; `retry_after` is the time in seconds after which there may be."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full; try again in {retry_after} s")
        self.retry_after = retry_after


class Closed(Exception):
    """The scheduler takes no more jobs, because the server is stopping."""

    def __init__(self) -> None:
        super().__init__("the server is stopping; send the request to another one")


class Load(NamedTuple):
    """What the scheduler has to do."""

    waiting: int  # samples
    running: int


class Observer(NamedTuple):
    """Callbacks for metrics, called in the scheduler's thread."""

    stepped: Callable[[float, int], object] = lambda seconds, images: None  # after a call of the network
    finished: Callable[[int], object] = lambda samples: None


UNOBSERVED = Observer()


class Scheduler:
    """Runs jobs on the lanes of one engine.

    A call of the network has at most `batch` images, of any jobs: chains join and leave between two steps. `queue` is
    the most samples that wait or run, `order` what decides which of them run. Every method may be called in any thread.
    """

    def __init__(
        self, lanes: Lanes, *, batch: int, queue: int, observer: Observer = UNOBSERVED, order: FairQueue | None = None
    ) -> None:
        self.batch, self.room = batch, queue
        self._lanes, self._observer = lanes, observer
        self._queue, self._changed = FairQueue() if order is None else order, threading.Condition()
        self._accepts = self._runs = True
        self._rate, self._failures = 0.0, 0  # image-steps a second
        self._thread = threading.Thread(target=self._run, name="ddpm-rt scheduler", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Let a job join at the next step.

        Raises QueueFull where there is no room for its samples, Closed after `drain` or `close`.
        """
        with self._changed:
            if not self._accepts:
                raise Closed
            if len(self._queue) + len(job.chains) > self.room:
                raise QueueFull(self._time_for(len(job.chains)))
            self._queue.add(job)
            self._changed.notify_all()

    def _time_for(self, samples: int) -> int:
        """Seconds until so many samples may be done, from 1 up."""
        missing = len(self._queue) + samples - self.room
        if not self._rate or not len(self._queue):
            return 1
        seconds = self._queue.image_steps / self._rate * missing / len(self._queue)
        return max(1, min(LONGEST_WAIT, math.ceil(seconds)))

    def cancel(self, job: Job) -> bool:
        """Take a job out before the next step: whether it was there. Its result is cancelled, unless there is one."""
        with self._changed:
            was_there = self._queue.remove(job)
            self._changed.notify_all()
        job.result.cancel()
        return was_there

    def load(self) -> Load:
        with self._changed:
            return Load(len(self._queue) - self._queue.running, self._queue.running)

    @property
    def is_well(self) -> bool:
        """Whether the engine works, as far as the last steps tell."""
        return self._failures < SICK_AFTER and self._thread.is_alive()

    def drain(self, seconds: float) -> bool:
        """Take no more jobs, and wait until all are done, at most so long. Whether they are."""
        with self._changed:
            self._accepts = False
            return self._changed.wait_for(lambda: not len(self._queue), seconds)

    def stop_accepting(self) -> None:
        """As `drain`, without the wait."""
        with self._changed:
            self._accepts = False

    def close(self) -> None:
        """End the thread after its step. Jobs that are not done fail."""
        with self._changed:
            self._accepts = self._runs = False
            jobs = self._queue.jobs
            for job in jobs:
                self._queue.remove(job)
            self._changed.notify_all()
        for job in jobs:
            job.fail(DdpmRtError(str(Closed())))
        if threading.current_thread() is not self._thread:
            self._thread.join()
        self._lanes.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: len(self._queue) or not self._runs)
                if not self._runs:
                    return
                entries = self._queue.turn(self.batch)
            self._step(entries)

    def _step(self, entries: Sequence[Entry]) -> None:
        chains, started = [entry.chain for entry in entries], time.perf_counter()
        try:
            self._lanes.step(chains)
        except Exception as error:  # of an engine's library, of any kind: the thread must live on
            self._failed(entries, error)
            return
        self._failures = 0
        self._measure(time.perf_counter() - started, sum(chain.images for chain in chains))
        with self._changed:
            over = self._queue.ran(entries)
        try:
            self._show(entries, over)
        except DdpmRtError as error:
            self._failed(entries, error)
        with self._changed:  # only now, so that `drain` ends after the last result
            self._changed.notify_all()

    def _show(self, entries: Sequence[Entry], over: Sequence[Entry]) -> None:
        """Tell the listeners, and set the results. Raises DdpmRtError when the lanes cannot be read."""
        frames = [entry for entry in entries if entry.chain.row - 1 in entry.job.listener.frames]
        self._lanes.fetch([entry.chain for entry in {*frames, *over}])
        for entry in frames:
            if not entry.job.is_over and entry.chain.error is None:
                self._tell(entry, entry.job.listener.stepped, entry.chain.step())
        for entry in over:
            if entry.chain.error is not None:
                self._fail(entry.job, entry.chain.error)
        done = [entry for entry in over if not entry.job.is_over]
        self._observer.finished(len(done))
        for entry in done:
            self._tell(entry, lambda place, entry=entry: entry.job.finish_one(place))

    def _tell(self, entry: Entry, listener: Callable[..., object], *more: object) -> None:
        """Call a listener. Its failure is that of its job alone."""
        try:
            listener(entry.place, *more)
        except Exception as error:
            self._fail(entry.job, DdpmRtError(_failure(error)))

    def _failed(self, entries: Sequence[Entry], error: Exception) -> None:
        """The step of these chains failed: so do their jobs, and the others go on."""
        self._failures += 1
        known = error if isinstance(error, DdpmRtError) else DdpmRtError(_failure(error))
        for entry in entries:
            self._fail(entry.job, known)

    def _fail(self, job: Job, error: DdpmRtError) -> None:
        with self._changed:
            self._queue.remove(job)
            self._changed.notify_all()
        job.fail(error)

    def _measure(self, seconds: float, images: int) -> None:
        rate = images / max(seconds, 1e-9)
        self._rate = rate if not self._rate else (1 - SMOOTHING) * self._rate + SMOOTHING * rate
        self._observer.stepped(seconds, images)


def _failure(error: Exception) -> str:
    return one_line(f"the engine failed: {type(error).__name__}: {error}; see `ddpm-rt doctor`")
