"""The device loop: runs requests batch by batch, on one or several streams of a GPU."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from ..denoiser import Batch
from ..engine import ChainRequest, Watch
from ..errors import DdpmRtError
from .chain import DeviceChain
from .device_engine import DeviceEngine
from .driver import cuda_errors
from .graphs import Mode
from .kernels import Kernels, load_kernels
from .lanes import MAX_LANES, Rows, lanes_of, rows_of
from .layout import LaneInputs, Layout

KEPT = 4  # idle chains that are kept for the next request of the same shape


class _Run(NamedTuple):
    """A batch that is running."""

    chain: DeviceChain
    samples: Sequence[int]
    given: LaneInputs
    queue: Iterator[bool]


class DeviceLoop:
    """Runs requests on the GPU that `engine` is on, with `streams` batches at a time.

    Buffers, engine contexts and graphs are kept for the next request of the same table and batch. `mode` says how
    steps are launched, see `graphs.Launcher`; an engine that cannot be captured is launched step by step. Threads may
    take turns, but must not use one loop at the same time.
    """

    def __init__(self, device: Any, engine: DeviceEngine, *, mode: Mode = "replay", streams: int = 1) -> None:
        if streams < 1:
            raise ValueError(f"streams must be at least 1, not {streams}")
        self.engine, self.mode, self.streams = engine, mode, streams
        self._device = device
        self._kernels: Kernels | None = None
        self._idle: list[DeviceChain] = []

    def batch_for(self, request: ChainRequest) -> int:
        """The most samples to a batch that the engine has a batch for, at most `request.batch`.

        Raises DdpmRtError where the engine's batch cannot hold a sample twice, as guidance needs.
        """
        return min(request.batch, self._layout(request, request.batch).lanes)

    def _layout(self, request: ChainRequest, count: int, **kept: bool) -> Layout:
        guided = request.guidance != 1.0
        images = self.engine.batch_for(2 * count if guided else count)
        lanes = min(images // 2 if guided else images, MAX_LANES)
        if lanes == 0:
            raise DdpmRtError("guidance needs an engine that takes at least two images; build it with --batch 2")
        return Layout(lanes, images, guided, **kept)

    def finals(
        self, request: ChainRequest, samples: Sequence[int], watch: Watch
    ) -> Iterator[tuple[Sequence[int], Batch]]:
        """Batch by batch, in order: its sample numbers, and their images float32 `[B, C, H, W]`.

        The batches are those of `request`; none may be larger than `batch_for`. Raises DdpmRtError when the
        GPU lacks the memory or fails, and when an output is not finite.
        """
        portions = request.batches(samples)  # lazily: there may be billions
        at_once = 1 if watch.frames else self.streams  # frames are shown batch after batch
        running: deque[_Run] = deque()
        try:
            while True:
                with cuda_errors("the GPU cannot be used"):
                    self._device.set_current()  # for this thread, which may differ from that of the last `next`
                for portion in islice(portions, at_once - len(running)):
                    running.append(self._started(request, portion, watch))
                if not running:
                    return
                queued = [next(run.queue, True) for run in running]
                if queued[0]:  # the other streams have work while this one is awaited
                    first = running[0]
                    images = first.chain.result(first.given, watch)
                    running.popleft()
                    self._keep(first.chain)
                    yield first.samples, images
        finally:  # an interrupted run leaves no half-finished chain
            for run in running:
                run.chain.close()

    def _started(self, request: ChainRequest, samples: Sequence[int], watch: Watch) -> _Run:
        card = self.engine.card
        table, clip, begin, _ = request.chain(samples)
        history, frames = bool(table.mean_from_prev_x0.any()), bool(watch.frames)
        layout = self._layout(request, len(samples), history=history, frames=frames)
        lanes = lanes_of(
            request.seed,
            samples,
            row=begin.row,
            end=table.steps,
            guidance=request.guidance,
            initial_scale=begin.scale,
            batch=layout.lanes,
        )
        null_inputs = request.null_inputs(samples) if layout.guided else {}
        conditions = (request.labels(samples), request.inputs(samples), null_inputs, card.null_class)
        given = LaneInputs(lanes, len(samples), *conditions, begin.x)
        chain = self._chain(rows_of(table, clip), layout)  # only this run owns it: nothing may fail before it runs
        return _Run(chain, samples, given, chain.run(given, watch))

    def _chain(self, rows: Rows, layout: Layout) -> DeviceChain:
        for chain in self._idle:
            if chain.layout == layout and chain.rows.tobytes() == rows.tobytes():
                self._idle.remove(chain)
                return chain
        mode = (
            "replay" if layout.frames and self.mode == "while" else self.mode
        )  # no frame can be taken inside a while graph
        made = (self._device, self.engine, self.kernels(), rows, layout, mode)
        if not self._idle:
            return DeviceChain(*made)
        try:
            return DeviceChain(*made)
        except DdpmRtError:  # idle chains may hold the missing memory
            self.close()
            return DeviceChain(*made)

    def kernels(self) -> Kernels:
        """The kernels, compiled and loaded at the first call. Raises DdpmRtError where that fails."""
        if self._kernels is None:
            self._kernels = load_kernels(self._device)
        return self._kernels

    def _keep(self, chain: DeviceChain) -> None:
        self._idle.append(chain)
        while len(self._idle) > KEPT:
            self._idle.pop(0).close()

    def close(self) -> None:
        """Frees the GPU's memory; the engine stays open."""
        while self._idle:
            self._idle.pop().close()
