"""How a batch lies in the GPU's memory, and what one run of it is to draw."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..denoiser import Batch
from .device_engine import DeviceEngine
from .driver import Arena
from .lanes import LANE, STATE, TIME_TYPES, Lanes, Rows


class Layout(NamedTuple):
    """How much of everything a chain has."""

    lanes: int  # samples at once
    images: int  # to a call of the engine: as many, or twice, or more where the engine has no such batch
    guided: bool = False  # a sample is asked for with its label and, `lanes` further, with none
    history: bool = False  # x0 is kept from a row to the next
    frames: bool = False  # somebody will look at x and x0 on the way


class Portion(NamedTuple):
    """What one run of a chain is to draw."""

    lanes: Lanes  # as many as the chain has; those past `samples` are done
    samples: int
    labels: NDArray[np.int64] | None = None  # [samples]
    null_class: int | None = None  # of a guided one
    start: Batch | None = None  # [samples, C, H, W], instead of x_T

    @property
    def rows(self) -> range:
        """Of the table, that are run."""
        return range(int(self.lanes["row"][0]), int(self.lanes["end"][0]))


def parts_of(engine: DeviceEngine, layout: Layout, rows: Rows) -> dict[str, int]:
    """The buffers of a chain and their bytes; a buffer that it does not need has none."""
    size, out_size = sizes_of(engine)
    lanes, images = layout.lanes, layout.images
    return {
        "x": 4 * images * size,
        "x0": 4 * lanes * size if layout.history or layout.frames else 0,
        "out": 4 * images * out_size,
        "t": np.dtype(engine.time_type).itemsize * (1 if engine.one_time else images),
        "y": 0 if engine.card.classes is None else 8 * images,
        "rows": rows.nbytes,
        "lanes": lanes * LANE.itemsize,
        "state": 4 * STATE,
        "scratch": engine.scratch_bytes(images),
    }


def arguments_of(engine: DeviceEngine, layout: Layout, arena: Arena) -> tuple[int | np.uint32, ...]:
    """The parameters of every kernel, in their order: addresses, then numbers."""
    size, out_size = sizes_of(engine)
    times = 1 if engine.one_time else layout.lanes * (2 if layout.guided else 1)
    kind = TIME_TYPES.index(np.dtype(engine.time_type))
    numbers = (layout.lanes, size, out_size, kind, times, int(layout.guided))
    addresses = (arena.address(name) for name in ("x", "x0", "out", "t", "rows", "lanes", "state"))
    return (*addresses, *map(np.uint32, numbers))


def sizes_of(engine: DeviceEngine) -> tuple[int, int]:
    """Floats of an image, and of what the network says about it."""
    channels, *sides = engine.card.image_shape
    plane = int(np.prod(sides))
    return channels * plane, engine.card.output_channels * plane
