"""What the tests of the server share: chains of requests, and an engine whose calls wait for the test."""

import http.client
import json
import threading
import time

import numpy as np
from gaussian_model import gaussian_card
from toy_engine import eps_of_gaussian

from ddpm_rt.device.lanes import rows_of
from ddpm_rt.engine import Engine
from ddpm_rt.serve.chain import Chain

WAIT = 60  # seconds; no test is held to a time


def chains_of(request, card):
    """The chains of a request for a model, without a server."""
    bound = request.bind(card)
    samples, scale = request.samples, bound.sampler.initial_scale
    rows, labels = rows_of(bound.table, bound.sampler.clip), bound.labels(samples)
    inputs, null = bound.inputs(samples), bound.null_inputs(samples)
    return [
        Chain(
            rows, request.seed, sample, None if labels is None else int(labels[place]), request.guidance, scale,
            *({name: values[place] for name, values in given.items()} for given in (inputs, null)),
        )
        for place, sample in enumerate(samples)
    ]  # fmt: skip


class GatedEngine(Engine):
    """The exact denoiser of Gaussian pixels. A call waits until the test lets it; `calls` are the times of each."""

    def __init__(self, function=eps_of_gaussian, card=None, *, is_open=False):
        self.card, self.function = card or gaussian_card(), function
        self.calls, self.error = [], None
        self._gate, self._entered = threading.Semaphore(0), threading.Semaphore(0)
        self._is_open = is_open

    def __call__(self, x, t, y=None, /):
        self.calls.append(np.asarray(t).tolist())
        self._entered.release()
        if not self._is_open:
            assert self._gate.acquire(timeout=WAIT)
        if self.error is not None:
            raise self.error
        return self.function(x, t, y)

    def wait_for_call(self):
        """Until the next call is under way, which then waits in turn."""
        assert self._entered.acquire(timeout=WAIT)

    def let(self, calls=1):
        """Let this many calls end, each after it has begun."""
        for _ in range(calls):
            self._gate.release()

    def step(self):
        """Let the call end that is under way, and wait for the next one."""
        self.let()
        self.wait_for_call()

    def open(self):
        """Let all calls end."""
        self._is_open = True
        self._gate.release()


class Server:
    """A server of this process, in a thread of its own, and plain HTTP to it."""

    def __init__(self, engines, *, sha256="ab" * 32, access=None, **limits):
        from ddpm_rt.serve.app import Access
        from ddpm_rt.serve.server import listening, make_server, served_model
        from ddpm_rt.serve.server_limits import ServerLimits
        from ddpm_rt.serve.service import Service

        self.limits = ServerLimits(**{"batch": 4, "queue": 64, "samples": 16} | limits)
        self.service = Service({}, self.limits)
        for name, engine in engines.items():
            model = served_model(name, engine, self.limits, self.service.metrics)
            model.sha256, model.options = sha256, ("--engine", f"{name}.onnx")
            self.service.models[name] = model
        self._engines = engines
        self._socket = listening("127.0.0.1", 0)
        self.port = self._socket.getsockname()[1]
        self.server = make_server(self.service, access or Access())
        self._thread = threading.Thread(target=self.server.run, args=[[self._socket]])

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *error):
        for engine in self._engines.values():
            if isinstance(engine, GatedEngine):
                engine.open()
        self.server.drain()
        self._thread.join(WAIT)
        for model in self.service.models.values():
            model.close()

    @property
    def scheduler(self):
        """That of the first model."""
        return next(iter(self.service.models.values())).scheduler

    def ask(self, method, path, body=None, **headers):
        """A response on a connection of its own: `status`, `headers` and `body`."""
        connection = self.connection()
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            body, headers = json.dumps(body), {"Content-Type": "application/json", **headers}
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        response.body = response.read()
        connection.close()
        return response

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def post(self, path, body, **headers):
        return self.ask("POST", path, body, **headers)

    def error(self, response):
        """The sentence of a refusal."""
        return json.loads(response.body)["error"]

    def connection(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=WAIT)

    def metric(self, name, **labels):
        """The value of a metric, 0 if it has none yet."""
        return self.service.metrics.registry.get_sample_value(name, labels) or 0.0

    def wait_until(self, holds):
        """Until a condition holds that another thread brings about."""
        deadline = time.monotonic() + WAIT
        while not holds():
            assert time.monotonic() < deadline, "in vain"
            time.sleep(0.005)
