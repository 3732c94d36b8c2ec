"""The memory layout of a batch on the GPU, and the samples of one run."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..artifacts.card_facts import InputFacts
from ..denoiser import Batch
from .device_engine import DeviceEngine, input_part
from .driver import Arena
from .lanes import LANE, STATE_WORDS, TIME_TYPES, Lanes, Rows


class Layout(NamedTuple):
    """The buffers of a `DeviceChain`: how large, and which. A chain runs any request with the same layout and table."""

    lanes: int  # samples at once
    images: int  # per call of the engine: lanes, or twice as many with guidance, or a larger batch that the engine has
    guided: bool = False  # image i is labelled, image i + lanes has the null class
    history: bool = False  # x0 is kept for the next row
    frames: bool = False  # x and x0 are copied out between steps


class LaneInputs(NamedTuple):
    """What the lanes of a chain are loaded with for one run."""

    lanes: Lanes  # all lanes of the chain; those past `samples` are idle
    samples: int
    labels: NDArray[np.int64] | None = None  # [samples]
    inputs: Mapping[str, NDArray[Any]] = {}  # conditions by name, [samples, ...] each; null_inputs are for guidance
    null_inputs: Mapping[str, NDArray[Any]] = {}
    null_class: int | None = None  # with guidance
    start: Batch | None = None  # [samples, C, ...], instead of x_T

    @property
    def rows(self) -> range:
        """The rows of the table that are run."""
        return range(int(self.lanes["row"][0]), int(self.lanes["end"][0]))


def parts_of(engine: DeviceEngine, layout: Layout, rows: Rows) -> dict[str, int]:
    """Buffer name to bytes; 0 for a buffer that the chain does not need."""
    size, out_size = sizes_of(engine)
    lanes, images, card = layout.lanes, layout.images, engine.card
    kept, conditioned = layout.history or layout.frames, card.prev_x0 is not None
    return {
        "x": 4 * images * size,
        "x0": 4 * size * (images if layout.guided or conditioned else lanes) if kept or conditioned else 0,
        "out": 4 * images * out_size,
        "t": np.dtype(engine.time_type).itemsize * (1 if engine.one_time else images),
        "y": 0 if card.classes is None else 8 * images,
        "rows": rows.nbytes,
        "lanes": lanes * LANE.itemsize,
        "state": 4 * STATE_WORDS,
        "scratch": engine.scratch_bytes(images),
        **{input_part(card, name): images * bytes_of(facts) for name, facts in card.conditions.items()},
    }


def bytes_of(facts: InputFacts) -> int:
    """Bytes of one entry of a named input."""
    return int(np.prod(facts.shape, dtype=np.int64)) * np.dtype(facts.dtype).itemsize


def arguments_of(engine: DeviceEngine, layout: Layout, arena: Arena) -> tuple[int | np.uint32, ...]:
    """The parameters of every kernel in order: addresses, then numbers."""
    size, out_size = sizes_of(engine)
    times = 1 if engine.one_time else layout.lanes * (2 if layout.guided else 1)
    kind = TIME_TYPES.index(np.dtype(engine.time_type))
    numbers = (layout.lanes, size, out_size, kind, times, int(layout.guided))
    addresses = (arena.address(name) for name in ("x", "x0", "out", "t", "rows", "lanes", "state"))
    return (*addresses, *map(np.uint32, numbers))


def sizes_of(engine: DeviceEngine) -> tuple[int, int]:
    """Elements of an image, and of the network's output for it."""
    channels, *sides = engine.card.image_shape
    plane = int(np.prod(sides, dtype=np.int64))
    return channels * plane, engine.card.output_channels * plane
