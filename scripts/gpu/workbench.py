"""The loop's buffers and kernels driven by hand: one launch, one graph, one time at a time."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_rt.device.device_engine import Buffers, DeviceEngine
from ddpm_rt.device.driver import Arena, Pinned, cuda_core
from ddpm_rt.device.kernels import load_kernels
from ddpm_rt.device.lanes import BLOCK, Lanes, Rows, grid_of
from ddpm_rt.device.layout import Layout, arguments_of, parts_of, sizes_of

Enqueue = Callable[[Any], None]  # puts work on a stream or a graph builder


class Workbench:
    """A batch of an engine on a stream. `with` closes it."""

    def __init__(self, device: Any, engine: DeviceEngine, layout: Layout, rows: Rows, lanes: Lanes) -> None:
        self._close = ExitStack()
        self._core = cuda_core()
        self._kernels = load_kernels(device)
        self.stream = self._hold(device.create_stream())
        self.arena = self._hold(Arena(device, self.stream, parts_of(engine, layout, rows)))
        self._arguments = arguments_of(engine, layout, self.arena)
        self._config = self._core.LaunchConfig(grid=grid_of(sizes_of(engine)[0], layout.lanes), block=BLOCK)
        self.bound = self._hold(engine.bind(layout.images, Buffers(*map(self.arena.address, Buffers._fields))))
        self.write("rows", rows)
        self.write("lanes", lanes)

    def _hold(self, thing: Any) -> Any:
        self._close.callback(thing.close)
        return thing

    def __enter__(self) -> "Workbench":
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.sync()
        self._close.close()

    def write(self, name: str, values: NDArray[Any]) -> None:
        """Copy an array into a buffer, and wait."""
        pinned = Pinned(values.shape, values.dtype)
        pinned.array[...] = values
        self.arena.buffer(name, size=values.nbytes).copy_from(pinned.buffer, stream=self.stream)
        self.stream.sync()
        pinned.close()

    def read(self, name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
        """A buffer's content after all that is queued."""
        pinned = Pinned(shape, dtype)
        self.arena.buffer(name, size=pinned.array.nbytes).copy_to(pinned.buffer, stream=self.stream)
        self.stream.sync()
        values = pinned.array.copy()
        pinned.close()
        return values

    def launch(self, kernel: str, target: Any = None) -> None:
        """One of the step's kernels on the stream, or on a graph builder."""
        self._core.launch(target or self.stream, self._config, self._kernels[kernel], *self._arguments)

    def network(self, target: Any = None) -> None:
        """One call of the engine on the stream, or on a graph builder."""
        stream = self.stream if target is None else target.stream
        self.bound.enqueue(int(stream.handle))

    def graph(self, enqueue: Enqueue, times: int = 1) -> Any:
        """The graph of `times` times what `enqueue` puts on a builder. That must have run once before."""
        builder = self.stream.create_graph_builder()
        builder.begin_building("thread_local")
        try:
            for _ in range(times):
                enqueue(builder)
        finally:
            builder.end_building()
        graph = self._hold(builder.complete())
        builder.close()
        graph.upload(self.stream)
        return graph

    def seconds(self, run: Callable[[], object]) -> float:
        """How long the GPU is busy with what `run` puts on the stream."""
        timed = self._core.EventOptions(timing_enabled=True)
        begin = self.stream.record(options=timed)
        run()
        end = self.stream.record(options=timed)
        end.sync()
        milliseconds = float(end - begin)
        begin.close()
        end.close()
        return max(milliseconds, 1e-6) / 1000  # never 0, for who divides by it
