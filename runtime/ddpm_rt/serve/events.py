"""A request as server-sent events: its progress, previews of the predicted images, and the samples when they are done.

Events, each with a JSON object: `step` (sample, row, steps, t, and png where previews are asked for), `image` (a
sample, as in the JSON response), then `done`, or `error`.
"""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from .client_request import ClientRequest
from .encoding import facts_of, preview_of
from .guard import Message, Receive, Scope, Send
from .mailbox import Drawn, Mailbox, Preview
from .refusals import Refused
from .service import ClientGone, Service, encoded, until_gone

MOST_PREVIEWS = 64  # of a sample
PROGRESS = 20  # events of a sample without previews
KEEP_ALIVE = 15.0  # seconds without an event until a comment is sent, so that no proxy closes the connection


def rows_shown(steps: int, previews: int) -> list[int]:
    """The rows after which an event is sent, the last one included."""
    count = min(steps, previews or PROGRESS)
    return sorted({round((place + 1) * steps / count) - 1 for place in range(count)})


class EventStream:
    """The response, an ASGI application. The scheduler is left when the client closes the connection."""

    def __init__(self, service: Service, asked: ClientRequest, previews: int) -> None:
        self._service, self._asked, self._previews = service, asked, previews
        self._numbers = int(np.prod(asked.model.engine.card.image_shape))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        mailbox = Mailbox()
        job = self._service.job(self._asked, mailbox.listener(rows_shown(len(self._asked.rows), self._previews)))
        async with self._service.submitted(self._asked.model, job):
            await send(_start())
            events = asyncio.ensure_future(self._send_all(mailbox, asyncio.wrap_future(job.result), job, send))
            gone = asyncio.ensure_future(until_gone(receive))
            try:
                await asyncio.wait({events, gone}, return_when=asyncio.FIRST_COMPLETED)
                if not events.done():
                    raise ClientGone
                events.result()
            finally:
                for task in (events, gone):
                    task.cancel()
                await asyncio.gather(events, gone, return_exceptions=True)

    async def _send_all(self, mailbox: Mailbox, result: "asyncio.Future[Any]", job: Any, send: Send) -> None:
        async for text in self._texts(mailbox, result, job):
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _texts(self, mailbox: Mailbox, result: "asyncio.Future[Any]", job: Any) -> AsyncIterator[str]:
        left = len(self._asked.samples)
        failed = asyncio.ensure_future(_failure_of(result))
        try:
            while left:
                event = asyncio.ensure_future(mailbox.next())
                await asyncio.wait({event, failed}, timeout=KEEP_ALIVE, return_when=asyncio.FIRST_COMPLETED)
                if event.done():
                    left -= isinstance(event.result(), Drawn)
                    yield await encoded(self._numbers, self._text_of, event.result(), job)
                    continue
                event.cancel()
                if failed.done():
                    yield _event("error", {"error": failed.result()})
                    return
                yield ": still drawing\n\n"
            yield _event("done", {})
        finally:
            failed.cancel()

    def _text_of(self, event: Preview | Drawn, job: Any) -> str:
        sample = self._asked.samples[event.place]
        if isinstance(event, Drawn):
            return _event("image", facts_of(self._asked, sample, job.chains[event.place].x))
        step = event.step
        facts: dict[str, Any] = {"sample": str(sample), "row": step.row, "steps": len(self._asked.rows), "t": step.t}
        if self._previews and self._asked.model.engine.card.is_picture:
            facts["png"] = base64.b64encode(preview_of(step.x0[0])).decode()
        return _event("step", facts)


async def _failure_of(result: "asyncio.Future[Any]") -> str:
    """Wait for the failure of a job: its sentence. A job that succeeds is awaited for ever."""
    try:
        await asyncio.shield(result)
    except Exception as error:
        return str(error)
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


def _event(name: str, facts: dict[str, Any]) -> str:
    return f"event: {name}\ndata: {json.dumps(facts)}\n\n"


def _start() -> Message:
    headers = [
        (b"content-type", b"text/event-stream; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),  # nginx would collect the events
        (b"x-content-type-options", b"nosniff"),
    ]
    return {"type": "http.response.start", "status": 200, "headers": headers}


def parse_previews(value: Any) -> int:
    """Raises Refused for anything but a number of previews."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MOST_PREVIEWS:
        raise Refused(422, f"previews must be an integer in [0, {MOST_PREVIEWS}]")
    return value
