"""The device loop: requests, portion by portion, on one or several streams of a GPU."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from ..denoiser import Batch
from ..engine import Chains, Watch
from ..errors import DdpmRtError
from .chain import DeviceChain
from .device_engine import DeviceEngine
from .driver import cuda_errors
from .graphs import Mode
from .kernels import Kernels, load_kernels
from .lanes import MAX_LANES, Rows, lanes_of, rows_of
from .layout import Layout, Portion

KEPT = 4  # chains that wait, warm, for the next request like theirs


class _Run(NamedTuple):
    """A portion under way."""

    chain: DeviceChain
    samples: Sequence[int]
    portion: Portion
    queue: Iterator[bool]


class DeviceLoop:
    """Runs requests on the GPU that `engine` is on, with `streams` batches at a time.

    Buffers, engine contexts and graphs are kept for the next request of the same table and batch. `mode` says how
    steps are launched, see `graphs.Launcher`; an engine that no graph can hold is launched step by step. Threads may
    take turns, but two must not use it at the same time.
    """

    def __init__(self, device: Any, engine: DeviceEngine, *, mode: Mode = "replay", streams: int = 1) -> None:
        if streams < 1:
            raise ValueError(f"streams must be at least 1, not {streams}")
        self.engine, self.mode, self.streams = engine, mode, streams
        self._device = device
        self._kernels: Kernels | None = None
        self._idle: list[DeviceChain] = []

    def batch_for(self, request: Chains) -> int:
        """The most samples to a batch that the engine has a batch for, at most `request.batch`.

        Raises DdpmRtError where guidance finds no room for a sample with and without its label.
        """
        return min(request.batch, self._layout(request, request.batch).lanes)

    def _layout(self, request: Chains, count: int, **kept: bool) -> Layout:
        guided = request.guidance != 1.0
        images = self.engine.batch_for(2 * count if guided else count)
        lanes = min(images // 2 if guided else images, MAX_LANES)
        if lanes == 0:
            raise DdpmRtError("guidance needs an engine that takes at least two images; build it with --batch 2")
        return Layout(lanes, images, guided, **kept)

    def finals(self, request: Chains, samples: Sequence[int], watch: Watch) -> Iterator[tuple[Sequence[int], Batch]]:
        """Which samples, and their images `[B, C, H, W]`, in order, as they are done.

        The batches are those of `request`, none of which may be larger than `batch_for`. Raises DdpmRtError when the
        GPU has not the memory or fails, and when an output is not finite.
        """
        portions = request.batches(samples)  # as many as there are samples: they are not all made at once
        at_once = 1 if watch.frames else self.streams  # frames come one batch after the other
        running: deque[_Run] = deque()
        try:
            while True:
                with cuda_errors("the GPU cannot be used"):
                    self._device.set_current()  # of this thread, which need not be the one of the last `next`
                for portion in islice(portions, at_once - len(running)):
                    running.append(self._started(request, portion, watch))
                if not running:
                    return
                queued = [next(run.queue, True) for run in running]
                if queued[0]:  # the others have work as well while this is waited for
                    first = running[0]
                    images = first.chain.result(first.portion, watch)
                    running.popleft()
                    self._keep(first.chain)
                    yield first.samples, images
        finally:  # what breaks off leaves no chain that is half way
            for run in running:
                run.chain.close()

    def _started(self, request: Chains, samples: Sequence[int], watch: Watch) -> _Run:
        card = self.engine.card
        table, clip, start, first_row, _ = request.chain(samples)
        history, frames = bool(table.mean_from_prev_x0.any()), bool(watch.frames)
        layout = self._layout(request, len(samples), history=history, frames=frames)
        lanes = lanes_of(
            request.seed,
            samples,
            row=first_row,
            end=table.steps,
            guidance=request.guidance,
            batch=layout.lanes,
        )
        portion = Portion(lanes, len(samples), request.labels(samples), card.null_class, start)
        chain = self._chain(rows_of(table, clip), layout)  # nobody else has it now: nothing may fail before it runs
        return _Run(chain, samples, portion, chain.run(portion, watch))

    def _chain(self, rows: Rows, layout: Layout) -> DeviceChain:
        for chain in self._idle:
            if chain.layout == layout and chain.rows.tobytes() == rows.tobytes():
                self._idle.remove(chain)
                return chain
        mode = "replay" if layout.frames and self.mode == "while" else self.mode  # nobody looks into a while graph
        made = (self._device, self.engine, self.kernels(), rows, layout, mode)
        if not self._idle:
            return DeviceChain(*made)
        try:
            return DeviceChain(*made)
        except DdpmRtError:  # those that wait may hold the memory that is missing
            self.close()
            return DeviceChain(*made)

    def kernels(self) -> Kernels:
        """Compiled and loaded the first time. Raises DdpmRtError where that cannot be."""
        if self._kernels is None:
            self._kernels = load_kernels(self._device)
        return self._kernels

    def _keep(self, chain: DeviceChain) -> None:
        self._idle.append(chain)
        while len(self._idle) > KEPT:
            self._idle.pop(0).close()

    def close(self) -> None:
        """Gives the GPU's memory back; the engine stays open."""
        while self._idle:
            self._idle.pop().close()
