"""Answers other than success: a status and a sentence."""

from collections.abc import Mapping
from http import HTTPStatus

from .scheduler import Closed, QueueFull

MEANINGS = {  # of every status of a refusal; the OpenAPI document has them
    401: "the bearer token is missing or wrong",
    403: "pages of other sites may not ask",
    404: "there is no such model or path",
    405: "the path does not allow this method; Allow lists those that it does",
    406: "none of the formats in Accept is available",
    408: "the body took too long",
    413: "the body is too large",
    415: "the body is neither JSON nor a form",
    421: "the server does not answer to this host",
    422: "the request is invalid; the sentence says why",
    429: "the queue is full; Retry-After says when to try again",
    500: "the drawing failed; the sentence says why",
    503: "the server is stopping, or an engine has failed",
}


class Refused(Exception):
    """A request that gets no result; `status` is one of `MEANINGS`, `reason` a sentence for its sender."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status, self.reason, self.headers = HTTPStatus(status), reason, dict(headers or {})


def refusal_of(error: QueueFull | Closed) -> Refused:
    """What the sender of a request is told that the scheduler does not take."""
    if isinstance(error, QueueFull):
        return Refused(429, str(error), {"Retry-After": str(error.retry_after)})
    return Refused(503, str(error), {"Retry-After": "1", "Connection": "close"})
