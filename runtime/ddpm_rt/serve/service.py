"""What the routes share: the models, the limits, and how a request is drawn while its client is there."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

from ..denoiser import Batch
from ..errors import DdpmRtError
from .client_request import ClientRequest, client_request_of
from .job import Job, Listener
from .metrics import Metrics
from .refusals import Refused, refusal_of
from .scheduler import Closed, QueueFull
from .served_model import ServedModel, find_model
from .server_limits import ServerLimits

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Result = TypeVar("Result")
SMALL = 1 << 16  # numbers of images that are encoded in the event loop, in less than a millisecond or two


class ClientGone(Exception):
    """The client closed the connection before its response was complete."""


@dataclass(eq=False)
class Service:
    """The models of a server under their names."""

    models: dict[str, ServedModel]
    limits: ServerLimits
    metrics: Metrics = field(default_factory=Metrics)
    is_draining: bool = False

    def model(self, named: str) -> tuple[ServedModel, bool]:
        """The model of a path, and whether the path pins its content. Raises Refused for another one."""
        try:
            return find_model(self.models, named)
        except KeyError as error:
            raise Refused(404, str(error.args[0])) from error

    def asked(self, model: ServedModel, fields: Mapping[str, Any]) -> ClientRequest:
        """The request of a client. Raises Refused with the sentence of what is wrong."""
        try:
            return client_request_of(model, fields, self.limits)
        except ValueError as error:
            raise Refused(422, str(error)) from error

    @property
    def is_well(self) -> bool:
        """Whether every engine works; a process whose engine is lost has to be started again."""
        return all(model.scheduler.is_well for model in self.models.values())

    @property
    def is_ready(self) -> bool:
        return self.is_well and not self.is_draining

    @asynccontextmanager
    async def submitted(self, model: ServedModel, job: Job) -> AsyncIterator[None]:
        """Within this context the job waits or runs; at its end it is cancelled if it is not done.

        Raises Refused where the scheduler has no room for it.
        """
        try:
            model.scheduler.submit(job)
        except (QueueFull, Closed) as error:
            raise refusal_of(error) from error
        try:
            yield
        finally:
            if model.scheduler.cancel(job):
                self.metrics.cancelled(model.name)

    async def drawn(self, model: ServedModel, job: Job, receive: Receive) -> list[Batch]:
        """The images of a job, float32 `[C, H, W]`.

        Raises ClientGone when the client leaves, Refused where there is no room or the drawing fails.
        """
        async with self.submitted(model, job):
            return await unless_gone(asyncio.wrap_future(job.result), receive)

    async def drawn_asked(self, asked: ClientRequest, receive: Receive) -> list[Batch]:
        """`drawn` for a request without a listener."""
        return await self.drawn(asked.model, Job(asked.chains(), priority=asked.priority), receive)

    def job(self, asked: ClientRequest, listener: Listener) -> Job:
        return Job(asked.chains(), priority=asked.priority, listener=listener)


async def unless_gone(result: "asyncio.Future[Result]", receive: Receive) -> Result:
    """The result, unless the client leaves first. Raises ClientGone, and Refused for a failure of the drawing."""
    gone = asyncio.ensure_future(until_gone(receive))
    try:
        both: set[asyncio.Future[Any]] = {result, gone}
        await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        if not result.done():
            raise ClientGone
        try:
            return result.result()
        except DdpmRtError as error:
            raise Refused(500, str(error)) from error
    finally:
        for task in (gone, result):
            task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await gone


async def until_gone(receive: Receive) -> None:
    """Wait until the client closes the connection. The body must have been read."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def encoded(numbers: int, encode: Callable[..., Result], *arguments: Any) -> Result:
    """`encode(*arguments)`, in another thread where so many numbers would hold up the event loop."""
    return encode(*arguments) if numbers <= SMALL else await asyncio.to_thread(encode, *arguments)
