"""Other ways to order the work of a server, for comparison with continuous batching: what plain servers do."""

from ddpm_rt.serve.fair_queue import Entry, FairQueue
from ddpm_rt.serve.job import Job


class FirstComeQueue(FairQueue):
    """Chains in the order in which their jobs came."""

    def add(self, job: Job) -> None:
        super().add(job)
        self._waiting = sorted(entry._replace(finish=float(entry.job_number)) for entry in self._waiting)

    def _take(self, entries: list[Entry]) -> None:
        self._running = entries
        self._waiting = [entry for entry in self._waiting if entry not in entries]


class OneRequestQueue(FirstComeQueue):
    """The samples of one request at a time, as many as fit into a call; the next ones begin when all are done."""

    def turn(self, images: int) -> list[Entry]:
        if not self._running and self._waiting:
            first = self._waiting[0].job
            self._take([entry for entry in self._waiting if entry.job is first][:images])
        return list(self._running)


class FixedBatchQueue(FirstComeQueue):
    """A batch of samples of any requests, formed when the one before is done as a whole."""

    def turn(self, images: int) -> list[Entry]:
        if not self._running and self._waiting:
            self._take(self._waiting[:images])
        return list(self._running)


ORDERS: dict[str, type[FairQueue]] = {
    "continuous": FairQueue,
    "fixed batches": FixedBatchQueue,
    "one request at a time": OneRequestQueue,
}
