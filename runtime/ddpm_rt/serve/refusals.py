"""Answers other than success: a status and a sentence."""

from collections.abc import Mapping
from http import HTTPStatus

from .scheduler import Closed, QueueFull


class Refused(Exception):
    """A request that gets no result; `reason` is a sentence for its sender."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = HTTPStatus(status), reason, dict(headers or {})


def refusal_of(error: QueueFull | Closed) -> Refused:
    """What the sender of a request is told that the scheduler does not take."""
    if isinstance(error, QueueFull):
        return Refused(429, str(error), {"Retry-After": str(error.retry_after)})
    return Refused(503, str(error), {"Retry-After": "1", "Connection": "close"})
