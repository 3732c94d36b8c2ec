"""Metrics for Prometheus, in a registry of their own."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from .scheduler import Load, Observer

STEP_SECONDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)


class Metrics:
    """What the server counts. Labels are names of models and routes, never what a client sent."""

    content_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        one, registry = ["model"], self.registry
        self._waiting = Gauge("ddpm_rt_queue_samples", "Samples that wait for a lane", one, registry=registry)
        self._busy = Gauge("ddpm_rt_lanes_busy", "Samples of the last network call", one, registry=registry)
        self._fill = Histogram("ddpm_rt_batch_fill", "Images of a network call over the batch", one,
                               buckets=[n / 8 for n in range(1, 9)], registry=registry)  # fmt: skip
        self._step = Histogram(
            "ddpm_rt_step_seconds", "A step of all lanes", one, buckets=STEP_SECONDS, registry=registry
        )
        self._images = Counter("ddpm_rt_images", "Samples that were drawn", one, registry=registry)
        self._cancelled = Counter("ddpm_rt_cancellations", "Requests whose client left", one, registry=registry)
        self._request = Histogram("ddpm_rt_request_seconds", "From the headers of a request to the end of its response",
                                  ["route", "status"], buckets=REQUEST_SECONDS, registry=registry)  # fmt: skip
        self._refused = Counter("ddpm_rt_refusals", "Responses of status 400 and above", ["status"], registry=registry)

    def observer(self, model: str, batch: int) -> Observer:
        """Callbacks for the scheduler of a model."""
        fill, step, images = self._fill.labels(model), self._step.labels(model), self._images.labels(model)

        def stepped(seconds: float, count: int) -> None:
            fill.observe(count / batch)
            step.observe(seconds)

        return Observer(stepped, images.inc)

    def watch(self, model: str, load: Callable[[], Load]) -> None:
        """Read the load of a model's scheduler whenever the metrics are read."""
        self._waiting.labels(model).set_function(lambda: load().waiting)
        self._busy.labels(model).set_function(lambda: load().running)
        self._cancelled.labels(model)

    def cancelled(self, model: str) -> None:
        self._cancelled.labels(model).inc()

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a response. `route` is the pattern of a path, not the path."""
        self._request.labels(route, str(status)).observe(seconds)
        if status >= 400:
            self._refused.labels(str(status)).inc()

    def text(self) -> bytes:
        return generate_latest(self.registry)
