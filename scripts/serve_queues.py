"""Other ways to order the work of a server, for comparison with continuous batching: what plain servers do."""

from ddpm_rt.serve.fair_queue import Entry, FairQueue


class FixedBatchQueue(FairQueue):
    """A batch of samples of any requests, first come, first served, formed when the one before is done as a whole."""

    def __init__(self) -> None:
        super().__init__(length=0)

    def turn(self, images: int) -> list[Entry]:
        return list(self._running) if self._running else super().turn(images)


class OneRequestQueue(FixedBatchQueue):
    """The samples of one request at a time, as many as fit into a call; the next ones begin when all are done."""

    def _may_run(self, entry: Entry, left: int) -> bool:
        return super()._may_run(entry, left) and all(entry.job is other.job for other in self._running)


ORDERS: dict[str, type[FairQueue]] = {
    "continuous": FairQueue,
    "fixed batches": FixedBatchQueue,
    "one request at a time": OneRequestQueue,
}
