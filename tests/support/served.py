"""What the tests of the server share: chains of requests, and an engine whose calls wait for the test."""

import threading

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
    rows, labels = rows_of(bound.table, bound.sampler.clip), bound.labels(request.samples)
    return [
        Chain(rows, request.seed, sample, None if labels is None else int(labels[place]), request.guidance)
        for place, sample in enumerate(request.samples)
    ]


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
