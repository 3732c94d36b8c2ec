"""A connection that gives way: slow and idle clients lose theirs before they keep others out."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from .server_limits import ServerLimits


class PacedConnection(H11Protocol):
    """uvicorn's HTTP/1.1, with deadlines for the headers of a request and for a reader, and a bound of the connections.

    Where there are too many connections, the one that has waited longest for a request is closed: a client that is
    being served keeps its own.
    """

    limits: ServerLimits
    idle: "dict[PacedConnection, None]"  # connections without a request, the oldest first

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer: asyncio.TimerHandle | None = None  # while headers are awaited
        self._unread: asyncio.TimerHandle | None = None  # while the client leaves the buffer full
        self.idle[self] = None
        self._await_headers()
        if len(self.connections) > self.limits.connections:
            next(iter(self.idle)).transport.abort()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._is_busy():
            self._serve()
        elif self._timer is None:  # a part of the next request
            self._await_headers()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if not self._is_busy():
            self.idle[self] = None
            if self.conn.trailing_data[0]:  # a part of the next request came with this one
                self._await_headers()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unread = self.loop.call_later(self.limits.send_seconds, self._too_slow)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._has_read()

    def _has_read(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._serve()
        self._has_read()
        super().connection_lost(exc)

    def _is_busy(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _await_headers(self) -> None:
        self._timer = self.loop.call_later(self.limits.header_seconds, self._too_slow)

    def _serve(self) -> None:
        """From now on the connection is not idle."""
        self.idle.pop(self, None)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_slow(self) -> None:
        self.transport.abort()  # also where it is closing, which waits until the client has read everything


def connections_of(limits: ServerLimits) -> type[PacedConnection]:
    """The class of the connections of one server."""
    shared: dict[str, Any] = {"limits": limits, "idle": {}}
    return type("Connection", (PacedConnection,), shared)
