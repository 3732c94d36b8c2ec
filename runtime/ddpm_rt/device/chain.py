"""One batch on one stream: its buffers, the engine bound to them, and the steps."""

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy as np

from ..denoiser import Batch
from ..engine import Watch
from ..errors import DdpmRtError, NotFiniteError
from ..host_loop import not_finite
from .device_engine import DeviceEngine, buffers_of, input_part
from .driver import Arena, Pinned, Resources, cuda_core, cuda_errors
from .frames import Frames
from .graphs import Launcher, Mode
from .kernels import WHILE, Kernels
from .lanes import BLOCK, FINITE, LANE, STOP, Rows, grid_of, time_of
from .layout import LaneInputs, Layout, arguments_of, parts_of, sizes_of
from .throttle import Throttle

POLL = 0.0005  # seconds between two polls of a while graph


class DeviceChain:
    """The reverse process of one batch with the step table `rows`. The same chain can run many times.

    Raises DdpmRtError when the GPU lacks the memory, or the engine refuses.
    """

    def __init__(
        self, device: Any, engine: DeviceEngine, kernels: Kernels, rows: Rows, layout: Layout, mode: Mode
    ) -> None:
        self.layout, self.rows, self._device, self._kernels = layout, rows, device, kernels
        self._core = cuda_core()
        self._resources, self._stoppable = Resources(), False
        with cuda_errors("the GPU refused"):
            self._stream = self._resources.add(device.create_stream())
        try:
            with cuda_errors("the GPU refused"):
                # For copies that cannot wait behind a while graph.
                self._aside = self._resources.add(device.create_stream())
                self._allocate(device, engine)
                self._bound = self._resources.add(engine.bind(layout.images, buffers_of(self._arena, engine.card)))
                self._warm_up()
                possible = (
                    mode if engine.capturable else "stream"
                )  # some engines know whether they can be captured only now
                if possible == "while":
                    self._load_while()
                self._launcher = self._resources.add(Launcher(self._stream, self._step, possible))
                self._stoppable = possible == "while"
                self._stream.sync()
        except BaseException:
            self.close()
            raise

    def _allocate(self, device: Any, engine: DeviceEngine) -> None:
        layout = self.layout
        self._arena = self._resources.add(Arena(device, self._stream, parts_of(engine, layout, self.rows)))
        self._arguments = arguments_of(engine, layout, self._arena)
        grid = grid_of(sizes_of(engine)[0], layout.lanes)
        self._config = self._core.LaunchConfig(grid=grid, block=BLOCK)
        self._x = self._resources.add(Pinned((layout.lanes, *engine.card.image_shape), np.float32))
        self._lanes = self._resources.add(Pinned((layout.lanes,), LANE))
        self._y = self._resources.add(Pinned((layout.images,), np.int64)) if self._arena.address("y") else None
        self._inputs = {
            name: self._resources.add(Pinned((layout.images, *facts.shape), np.dtype(facts.dtype)))
            for name, facts in engine.card.conditions.items()
        }
        self._card = engine.card
        images = self._x.array.shape
        self._frames = self._resources.add(Frames(self._stream, self._arena, images)) if layout.frames else None
        self._done, *self._events = (self._resources.add(self._stream.record()) for _ in range(4))

    def _warm_up(self) -> None:
        """Call the engine and every kernel once: a first call may allocate, which a capture forbids."""
        rows = self._resources.add(Pinned(self.rows.shape, self.rows.dtype))
        rows.array[:] = self.rows
        self._copy_in("rows", rows)
        self._bound.enqueue(int(self._stream.handle))
        self._launch(self._stream, "ddpm_rt_begin")  # all lanes are zero: this only loads the kernels
        self._launch(self._stream, "ddpm_rt_step")
        self._stream.sync()

    def _load_while(self) -> None:
        """Load the kernel that only graphs launch, by reading its attributes: a capture could not load it."""
        if WHILE not in self._kernels:
            raise DdpmRtError("mode while needs NVRTC 12.4 or later; install one, or use another mode")
        _ = self._kernels[WHILE].attributes.num_regs

    def _step(self, target: Any, *condition: Any) -> None:
        stream = target if target is self._stream else target.stream
        self._bound.enqueue(int(stream.handle))
        self._launch(target, WHILE if condition else "ddpm_rt_step", *condition)

    def _launch(self, target: Any, kernel: str, *condition: Any) -> None:
        self._core.launch(target, self._config, self._kernels[kernel], *self._arguments, *condition)

    def _copy_in(self, name: str, source: Pinned) -> None:
        part = self._arena.buffer(name, size=source.buffer.size)
        part.copy_from(source.buffer, stream=self._stream)

    def run(self, given: LaneInputs, watch: Watch) -> Iterator[bool]:
        """Queue the steps of `given`. Yields whether all are queued, at times when other chains can queue theirs."""
        with cuda_errors("the GPU refused a step"):
            self._load(given)
            self._told = queued = 0
            throttle = Throttle(self._stream, self._events)
            while queued < len(given.rows):
                launched = self._launcher.launch(len(given.rows) - queued, singly=bool(watch.frames))
                queued += launched
                self._look(given, given.rows[queued - 1], watch)
                if self._launcher.mode != "while" and throttle.queued(launched):
                    self._tell(throttle.done, watch)
                    yield False
            self._arena.buffer("x", size=self._x.buffer.size).copy_to(self._x.buffer, stream=self._stream)
            self._arena.buffer("lanes").copy_to(self._lanes.buffer, stream=self._stream)
            self._stream.record(self._done)
        yield True

    def _load(self, given: LaneInputs) -> None:
        """Copy the initial state of the lanes. The host's buffers are free, because the previous run is over."""
        self._lanes.array[:] = given.lanes
        self._copy_in("lanes", self._lanes)
        if given.start is None:
            self._launch(self._stream, "ddpm_rt_begin")
        else:
            self._x.array[: given.samples] = given.start
            self._copy_in("x", self._x)
            self._launch(self._stream, "ddpm_rt_resume")
        if self._y is not None and given.labels is not None:
            null = given.labels if given.null_class is None else given.null_class
            self._condition("y", self._y, given.labels, null)
        for name, pinned in self._inputs.items():
            value = given.inputs[name]
            self._condition(input_part(self._card, name), pinned, value, given.null_inputs.get(name, value))

    def _condition(self, part: str, pinned: Pinned, value: Any, null: Any) -> None:
        """Copy what the lanes are conditioned on; the images of a guided batch after the lanes get `null`."""
        lanes, count = self.layout.lanes, len(value)
        pinned.array[:] = 0
        pinned.array[:count] = value
        if self.layout.guided:
            pinned.array[lanes : lanes + count] = null
        self._copy_in(part, pinned)

    def _look(self, given: LaneInputs, row: int, watch: Watch) -> None:
        """Start the copy of the images after `row` if `watch` wants them; show the copies that have arrived."""
        if self._frames is None or row not in watch.frames:
            return
        if self._frames.is_full:
            self._show(watch)
        self._frames.take(row, time_of(self.rows, row), given.samples)

    def _show(self, watch: Watch) -> None:
        if self._frames is not None and not self._frames.is_empty:
            watch.frame(self._frames.read())

    def _tell(self, done: int, watch: Watch) -> None:
        for _ in range(done - self._told):
            watch.step()
        self._told = done

    def result(self, given: LaneInputs, watch: Watch) -> Batch:
        """Wait for the run: its images, float32 `[samples, C, H, W]`.

        Raises NotFiniteError, naming the sample and the step, when an output of the network was not finite, or the
        images after the last step are not.
        """
        with cuda_errors("the GPU failed"):
            while self._launcher.mode == "while" and not self._done.is_done:
                time.sleep(POLL)  # Python handles Ctrl-C in this wait; in other modes the end is near
            self._done.sync()
            while self._frames is not None and not self._frames.is_empty:
                self._show(watch)
        self._tell(len(given.rows), watch)
        self._check_outputs(given.samples)
        images: Batch = self._x.array[: given.samples].copy()
        if not np.isfinite(images).all():
            row = given.rows[-1]
            raise not_finite("the image", images, self._samples(given.samples), row, time_of(self.rows, row))
        return images

    def _check_outputs(self, count: int) -> None:
        rows = self._lanes.array["not_finite"][:count]
        if (row := int(rows.min())) != FINITE:
            sample, t = self._samples(count)[int(rows.argmin())], time_of(self.rows, row)
            raise NotFiniteError(
                f"the network's output of sample {sample} is not finite at step {row}, t = {t}; check the model"
            )

    def _samples(self, count: int) -> list[int]:
        numbers: list[int] = self._lanes.array["sample"][:count].tolist()
        return numbers

    def close(self) -> None:
        """Waits for queued work, at most the rest of a run, and frees everything on the GPU."""
        with suppress(DdpmRtError), cuda_errors("the GPU gives nothing back"):
            try:
                self._settle()
            finally:  # also after a second Ctrl-C
                self._resources.close()

    def _settle(self) -> None:
        for wait in (self._device.set_current, self._stop, self._stream.sync):  # for whichever thread calls this
            with suppress(Exception):  # a failed GPU reports its error at every call
                wait()

    def _stop(self) -> None:
        """Ends a while graph after its current step."""
        if self._stoppable:
            self._arena.buffer("state", 4 * STOP, 4).fill(1, stream=self._aside)
            self._aside.sync()
