"""The process: listens, answers until a signal, lets the requests finish that are under way, and ends."""

import asyncio
import math
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import numpy as np
import uvicorn

from ..artifacts.card import ModelCard
from ..artifacts.card_format import format_of
from ..device.device_denoiser import DeviceDenoiser
from ..engine import Engine
from ..engines.engine_options import EngineOptions
from ..errors import DdpmRtError
from ..requests.labels import every_class
from . import logs
from .app import Access, make_app
from .connection import connections_of
from .guard import LOOPBACK
from .host_lanes import HostLanes, Lanes
from .metrics import Metrics
from .scheduler import Scheduler
from .served_model import ServedModel, add_steps_files, command_options, opened_engines, tables_of
from .server_limits import ServerLimits
from .service import Service

KEEP_ALIVE = 75  # seconds that a connection may wait for its next request; above that of common proxies
HEADER_BYTES = 32 << 10
STOPS = (signal.SIGINT, signal.SIGTERM)
SWITCH_SECONDS = 0.0005  # after which a thread lets another run Python: the scheduler must not wait for the event loop


def check_access(access: Access, *, no_token: bool) -> None:
    """Raises ValueError where the whole network could draw, and nobody has said that it may."""
    if access.host not in LOOPBACK and access.token is None and not no_token:
        raise ValueError(
            f"--host {access.host} lets other machines ask for images; give --token-file FILE, or --no-token"
        )


@contextmanager
def opened_service(
    engines: Sequence[Path], steps_files: Sequence[Path], options: EngineOptions, limits: ServerLimits
) -> Iterator[Service]:
    """The models, opened and warmed up; closed at the end.

    Raises ValueError for names that clash, DdpmRtError for what cannot be opened or does not work.
    """
    service = Service({}, limits, Metrics())
    opened = opened_engines(engines, options)
    try:
        for name, engine in opened.items():
            check_served(name, engine.card)
            warm_up(engine, limits.batch)
            service.models[name] = served_model(name, engine, limits, service.metrics)
        add_steps_files(steps_files, list(service.models.values()))
        yield service
    finally:
        for model in service.models.values():
            model.scheduler.close()
        for engine in opened.values():
            engine.close()


def served_model(name: str, engine: Engine, limits: ServerLimits, metrics: Metrics) -> ServedModel:
    """A model with its scheduler, which runs from now on."""
    lanes = lanes_of(engine, limits)
    observer = metrics.observer(name, lanes.batch)
    scheduler = Scheduler(lanes, batch=lanes.batch, queue=limits.queue, observer=observer)
    metrics.watch(name, scheduler.load)
    return ServedModel(name, engine, scheduler, tables_of(engine), engine.model_sha256(), command_options(engine))


def check_served(name: str, card: ModelCard) -> None:
    """Raises DdpmRtError for a model that the lanes cannot run: they know images of betas without named inputs."""
    if format_of(card) != 1:
        raise DdpmRtError(
            f"{name} cannot be served: its card has format 2 (other inputs, shapes or processes); use `ddpm-rt sample`"
        )


def lanes_of(engine: Engine, limits: ServerLimits) -> Lanes:
    """Where the steps of an engine are computed: on its device if it is on one, else here."""
    from .device_lanes import device_lanes_of  # a machine without a GPU need not wait for this import

    on_device = device_lanes_of(engine, limits.batch, limits.steps) if isinstance(engine, DeviceDenoiser) else None
    return on_device or HostLanes(engine, limits.batch)


def warm_up(engine: Engine, batch: int) -> None:
    """Call the network once: a first call allocates, and a model that does not work shows it."""
    card = engine.card
    x, t = np.zeros((batch, *card.image_shape), np.float32), np.zeros(batch, np.int64)
    label = (every_class(card) or (0,))[0]
    engine(x, t) if card.classes is None else engine(x, t, np.full(batch, label, np.int64))


def listening(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises DdpmRtError where that is not possible."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        reason = error.strerror or str(error)
        raise DdpmRtError(f"{host} port {port} cannot be listened on: {reason}; choose --host or --port") from error


class Server(uvicorn.Server):
    """uvicorn's server, which drains on the first signal and ends at once on the second."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():  # only that one gets signals
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in STOPS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.force_exit = self.should_exit
        self.should_exit = True
        asyncio.get_running_loop().call_soon_threadsafe(self.drain)

    def drain(self) -> None:
        """Take no more requests, and end when those that are under way are answered."""
        self.should_exit = self._service.is_draining = True
        for model in self._service.models.values():
            model.scheduler.stop_accepting()
        logs.event("stopping", samples=sum(sum(model.scheduler.load()) for model in self._service.models.values()))


def make_server(service: Service, access: Access) -> Server:
    """A server that does not listen yet."""
    limits = service.limits
    config = uvicorn.Config(
        make_app(service, access),
        http=connections_of(limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=math.ceil(limits.drain_seconds),
        h11_max_incomplete_event_size=HEADER_BYTES,
    )
    return Server(config, service)


def run(service: Service, access: Access, listener: socket.socket, started: Callable[[str], object]) -> None:
    """Answer requests until SIGINT or SIGTERM; `started` gets the URL of the page."""
    logs.log_to()
    sys.setswitchinterval(SWITCH_SECONDS)
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
    started(url)
    batch, has_token = service.limits.batch, access.token is not None
    logs.event("started", url=url, models=list(service.models), batch=batch, token=has_token)
    make_server(service, access).run(sockets=[listener])
    logs.event("stopped")
