"""A toy engine with its loop on the stand-in device, the same network on the host, and requests for both."""

import numpy as np
from gaussian_model import gaussian_card
from toy_engine import ToyEngine, eps_of_gaussian

from ddpm_rt.engine import Engine, Watch

MODES = ("replay", "chunks", "while", "stream")


class Gpu(Engine):
    """An engine on the device with its loop, in the form that opening a plan returns."""

    def __init__(self, stand_in, device, function=eps_of_gaussian, *, mode="replay", streams=1, **options):
        from ddpm_rt.device.loop import DeviceLoop

        self.engine = ToyEngine(stand_in, function, **options)
        self.card, self.loop = self.engine.card, DeviceLoop(device, self.engine, mode=mode, streams=streams)

    def __call__(self, x, t, y=None, inputs=None, /):
        raise AssertionError("the host loop was run")

    def close(self):
        self.loop.close()
        self.engine.close()


class Host(Engine):
    """The same function on the host."""

    def __init__(self, function=eps_of_gaussian, card=None):
        self.function, self.card = function, card or gaussian_card()

    def __call__(self, x, t, y=None, inputs=None, /):
        return self.function(x, t, y, *([inputs] if inputs else []))


def final(request, engine, watch=None):
    """A request, its images, and the samples of its batches."""
    bound = request.bind(engine.card).for_engine(engine)
    parts = list(bound.finals(engine, request.samples, watch or Watch()))
    return np.concatenate([images for _, images in parts]), [len(samples) for samples, _ in parts]


class Stop(BaseException):
    """Stands in for KeyboardInterrupt, which pytest would handle itself."""
