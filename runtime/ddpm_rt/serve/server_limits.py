"""Limits of the server: what a client may ask for, and how long it may take to ask."""

from dataclasses import dataclass, fields

from ..limits import MAX_BATCH, MAX_COUNT, MAX_TIMESTEPS, check_count


@dataclass(frozen=True, kw_only=True)
class ServerLimits:
    """Bounds of the work and the memory that clients can cause. Raises ValueError for values out of range."""

    batch: int = 16  # images to a call of the network
    queue: int = 256  # samples that wait or run, of each model
    samples: int = 64  # of one request
    steps: int = 1000  # of one sample
    body_bytes: int = 1 << 20  # of a request
    connections: int = 512  # that are open at a time
    header_seconds: float = 10.0  # until the first line and the headers of a request are there
    body_seconds: float = 30.0  # until the body is there
    send_seconds: float = 30.0  # that a client may leave a piece of a response unread
    drain_seconds: float = 30.0  # for the requests that are under way when the server stops

    def __post_init__(self) -> None:
        most = {"batch": MAX_BATCH, "queue": MAX_COUNT, "samples": MAX_COUNT, "steps": MAX_TIMESTEPS}
        for name, limit in {**most, "body_bytes": 1 << 30, "connections": 1 << 20}.items():
            check_count(name, getattr(self, name), limit)
        for field in fields(self):
            if field.name.endswith("_seconds") and not 0 < getattr(self, field.name) <= 86_400:
                raise ValueError(f"{field.name} must lie in (0, 86400], not {getattr(self, field.name)}")
        if self.samples > self.queue:
            raise ValueError(f"a request of {self.samples} samples must fit into the queue of {self.queue}")
