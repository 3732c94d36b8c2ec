"""Which chains run next: fair between the priorities, and between the jobs of each.

The next chain comes from the priority that has had the least work, in image-steps over its weight. If only one priority
has jobs, it gets every lane.

Within a priority, every chain gets a virtual finish time when its job is added: that of the chain before it in the job,
or the time of the priority, plus `length` times its image-steps. The chains that finish earliest run (weighted fair
queueing: Demers, Keshav and Shenker 1989). The time of a priority advances by the image-steps that are done over the
number of its jobs, so a job cannot be overtaken for ever while that number is bounded. A short job overtakes the chains
of a long one that are running: their state is kept, and they go on later.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from .chain import Chain
from .job import WEIGHTS, Job

# With 1, long jobs wait for many short ones that came later; 0 is first come, first served. At 0.2, short jobs still
# overtake, and the 99th percentile of the latency stays near that of 0 (scripts/bench_serve_simulated.py).
LENGTH = 0.2


class Entry(NamedTuple):
    """A chain with its place in the order of its priority."""

    finish: float  # virtual
    job_number: int
    place: int  # in the job
    job: Job

    @property
    def chain(self) -> Chain:
        return self.job.chains[self.place]


class Line:
    """The jobs of one priority."""

    def __init__(self, weight: float) -> None:
        self.weight = weight
        self.waiting: list[Entry] = []  # a heap
        self.jobs: dict[Job, int] = {}  # chains that are not done
        self.now = 0.0  # virtual
        self.work = 0.0  # image-steps that were given to it, over its weight


class FairQueue:
    """The chains that are not done. No method waits, and none is safe without a lock."""

    def __init__(self, length: float = LENGTH) -> None:
        self._length = length
        self._lines = {priority: Line(weight) for priority, weight in WEIGHTS.items()}
        self._running: list[Entry] = []

    def __len__(self) -> int:
        """Samples that are not done."""
        return len(self._running) + sum(len(line.waiting) for line in self._lines.values())

    @property
    def running(self) -> int:
        """Samples of the last turn that are not done."""
        return len(self._running)

    @property
    def image_steps(self) -> int:
        """The work that is left."""
        entries = [*self._running, *(entry for line in self._lines.values() for entry in line.waiting)]
        return sum(entry.chain.images * (entry.chain.steps - entry.chain.row) for entry in entries)

    @property
    def jobs(self) -> list[Job]:
        return [job for line in self._lines.values() for job in line.jobs]

    def add(self, job: Job) -> None:
        line = self._lines[job.priority]
        if not line.jobs:  # a priority without jobs saves up no share
            line.work = max([line.work, *(other.work for other in self._lines.values() if other.jobs)])
        finish = line.now
        for place, chain in enumerate(job.chains):
            finish += self._length * chain.images * chain.steps
            heapq.heappush(line.waiting, Entry(finish, job.number, place, job))
        line.jobs[job] = len(job.chains)

    def turn(self, images: int) -> list[Entry]:
        """The chains to run next, of at most `images` images a call, but at least one chain."""
        before, self._running = self._running, []
        for entry in before:
            heapq.heappush(self._lines[entry.job.priority].waiting, entry)
        left = images
        while lines := [line for line in self._lines.values() if line.waiting]:
            line = min(lines, key=lambda line: line.work)
            if not self._may_run(line.waiting[0], left):
                break
            entry = heapq.heappop(line.waiting)
            self._running.append(entry)
            left -= entry.chain.images
            line.work += entry.chain.images / line.weight
        for entry in {*before} - {*self._running}:
            entry.chain.detach()  # from the arrays of its batch
        return list(self._running)

    def _may_run(self, entry: Entry, left: int) -> bool:
        """Whether a chain runs beside those that do, with room for `left` images."""
        return not self._running or entry.chain.images <= left

    def ran(self, entries: Sequence[Entry]) -> list[Entry]:
        """Count a step of these chains, and take out those that are over: they are the result."""
        for entry in entries:
            line = self._lines[entry.job.priority]
            line.now += entry.chain.images / max(1, len(line.jobs))
        over = [entry for entry in self._running if entry.chain.is_over]
        self._running = [entry for entry in self._running if not entry.chain.is_over]
        for entry in over:
            self._count_down(entry.job)
        return over

    def _count_down(self, job: Job) -> None:
        jobs = self._lines[job.priority].jobs
        if job in jobs:
            jobs[job] -= 1
            if jobs[job] == 0:
                self._forget(job)

    def remove(self, job: Job) -> bool:
        """Take out every chain of a job: whether there were any. A second call does nothing."""
        line = self._lines[job.priority]
        if job not in line.jobs:
            return False
        line.waiting = [entry for entry in line.waiting if entry.job is not job]
        heapq.heapify(line.waiting)
        self._running = [entry for entry in self._running if entry.job is not job]
        self._forget(job)
        return True

    def _forget(self, job: Job) -> None:
        del self._lines[job.priority].jobs[job]
        if not self.jobs:
            for line in self._lines.values():  # the numbers would lose digits as they grow
                line.now = line.work = 0.0
