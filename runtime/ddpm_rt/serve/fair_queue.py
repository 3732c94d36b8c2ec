"""Which chains run next: weighted fair queueing over the jobs.

Every chain gets a virtual finish time when its job is added: that of the chain before it in the job, or the time of the
queue, plus its image-steps over the weight of the job. The chains that finish earliest run (Demers, Keshav and
Shenker 1989). The time of the queue advances by the image-steps that are done over the weights of all jobs, so a job
cannot be overtaken for ever while the number of jobs is bounded. A short job overtakes the chains of a long one that
are running: their state is kept, and they go on later.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from .chain import Chain
from .job import Job


class Entry(NamedTuple):
    """A chain with its place in the order."""

    finish: float  # virtual
    job_number: int
    place: int  # in the job
    job: Job

    @property
    def chain(self) -> Chain:
        return self.job.chains[self.place]


class FairQueue:
    """The chains that are not done. No method waits, and none is safe without a lock."""

    def __init__(self) -> None:
        self._waiting: list[Entry] = []  # a heap
        self._running: list[Entry] = []
        self._jobs: dict[Job, int] = {}  # chains that are not done
        self._now = 0.0

    def __len__(self) -> int:
        """Samples that are not done."""
        return len(self._waiting) + len(self._running)

    @property
    def running(self) -> int:
        """Samples of the last turn that are not done."""
        return len(self._running)

    @property
    def image_steps(self) -> int:
        """The work that is left."""
        entries = [*self._waiting, *self._running]
        return sum(entry.chain.images * (entry.chain.steps - entry.chain.row) for entry in entries)

    @property
    def jobs(self) -> list[Job]:
        return list(self._jobs)

    def add(self, job: Job) -> None:
        finish = self._now
        for place, chain in enumerate(job.chains):
            finish += chain.images * chain.steps / job.weight
            heapq.heappush(self._waiting, Entry(finish, job.number, place, job))
        self._jobs[job] = len(job.chains)

    def turn(self, images: int) -> list[Entry]:
        """The chains to run next, of at most `images` images a call, but at least one chain."""
        self._fill(images)
        while self._waiting and self._running and self._waiting[0] < (last := max(self._running)):
            self._running.remove(last)
            last.chain.detach()  # from the arrays of its batch
            heapq.heappush(self._waiting, last)
            self._fill(images)
        return list(self._running)

    def _fill(self, images: int) -> None:
        """Let the first of the waiting chains run while there is room for it."""
        used = sum(entry.chain.images for entry in self._running)
        while self._waiting and (not self._running or used + self._waiting[0].chain.images <= images):
            entry = heapq.heappop(self._waiting)
            self._running.append(entry)
            used += entry.chain.images

    def ran(self, entries: Sequence[Entry]) -> list[Entry]:
        """Count a step of these chains, and take out those that are over: they are the result."""
        weights = sum(job.weight for job in self._jobs)
        if weights:
            self._now += sum(entry.chain.images for entry in entries) / weights
        over = [entry for entry in self._running if entry.chain.is_over]
        self._running = [entry for entry in self._running if not entry.chain.is_over]
        for entry in over:
            self._count_down(entry.job)
        return over

    def _count_down(self, job: Job) -> None:
        if job in self._jobs:
            self._jobs[job] -= 1
            if self._jobs[job] == 0:
                self._forget(job)

    def remove(self, job: Job) -> bool:
        """Take out every chain of a job: whether there were any. A second call does nothing."""
        if job not in self._jobs:
            return False
        self._waiting = [entry for entry in self._waiting if entry.job is not job]
        heapq.heapify(self._waiting)
        self._running = [entry for entry in self._running if entry.job is not job]
        self._forget(job)
        return True

    def _forget(self, job: Job) -> None:
        del self._jobs[job]
        if not self._jobs:
            self._now = 0.0
