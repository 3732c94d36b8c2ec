"""The outermost part of the application: tells clients of refusals as JSON, and the log and the metrics of requests."""

import asyncio
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException

from . import logs
from .guard import App, Message, Receive, Scope, Send
from .metrics import Metrics
from .refusals import Refused
from .service import ClientGone

GONE = 499  # in the log and the metrics: the client left before there was a status
WORDS = {404: "there is nothing under this path", 405: "this path does not allow the method; see Allow"}
SAFE = (  # headers of every response
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


class Reporting:
    """An ASGI application around another. `routes` are the patterns of its endpoints, for the log."""

    def __init__(self, app: App, metrics: Metrics, routes: Mapping[Any, str], *, is_shared: bool) -> None:
        self._app, self._metrics = app, metrics
        self._routes: dict[Any, str] = dict(routes)
        self._safe = SAFE[:2] if is_shared else SAFE  # pages of other sites are welcome

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["app"] = self  # tells Starlette's router to raise what it refuses
        started, status = time.perf_counter(), 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                there = {name.lower() for name, _ in message.get("headers", [])}
                more = [header for header in self._safe if header[0] not in there]
                message = {**message, "headers": [*message.get("headers", []), *more]}
            await send(message)

        try:
            await self._answer(scope, receive, noted, lambda: status)
        except ClientGone:
            status = GONE
        finally:
            self._note(scope, status or GONE, time.perf_counter() - started)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, status: Callable[[], int]) -> None:
        try:
            await self._app(scope, receive, send)
        except (ClientGone, asyncio.CancelledError):
            raise
        except Refused as error:
            refused = error
        except HTTPException as error:
            refused = Refused(error.status_code, WORDS.get(error.status_code, error.detail), error.headers)
        except Exception as error:
            logs.crash("crash", error, route=self._route(scope))
            refused = Refused(500, "the server failed; its log says why")
        else:
            return
        if not status():  # else the response is under way: uvicorn closes the connection
            await _send_refusal(refused, send)

    def _route(self, scope: Scope) -> str:
        return self._routes.get(scope.get("endpoint"), "other")

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        route = self._route(scope)
        self._metrics.answered(route, status, seconds)
        facts = {"method": scope["method"], "route": route, "status": status, "ms": round(1000 * seconds, 1)}
        level = logging.INFO if status < 500 else logging.WARNING
        logs.event("request", level, **facts, client=(scope.get("client") or ("",))[0])


async def _send_refusal(refused: Refused, send: Send) -> None:
    body = json.dumps({"error": refused.reason}).encode()
    headers = {"content-type": "application/json", "content-length": str(len(body)), "cache-control": "no-store"}
    headers |= {name.lower(): value for name, value in refused.headers.items()}
    lines = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": int(refused.status), "headers": lines})
    await send({"type": "http.response.body", "body": body})
