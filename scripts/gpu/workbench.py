"""The buffers and kernels of the device loop for single launches, graphs and timings."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ddpm_rt.device.device_engine import DeviceEngine, buffers_of
from ddpm_rt.device.driver import Arena, Pinned, Resources, cuda_core
from ddpm_rt.device.kernels import load_kernels
from ddpm_rt.device.lanes import BLOCK, Lanes, Rows, grid_of
from ddpm_rt.device.layout import Layout, arguments_of, parts_of, sizes_of

Enqueue = Callable[[Any], None]  # puts work on a stream or a graph builder


class Workbench:
    """One batch of an engine on a stream. A context manager, which closes everything at its end."""

    def __init__(self, device: Any, engine: DeviceEngine, layout: Layout, rows: Rows, lanes: Lanes) -> None:
        self._resources = Resources()
        self._core = cuda_core()
        self._kernels = load_kernels(device)
        self.stream = self._resources.add(device.create_stream())
        self.arena = self._resources.add(Arena(device, self.stream, parts_of(engine, layout, rows)))
        self._arguments = arguments_of(engine, layout, self.arena)
        self._config = self._core.LaunchConfig(grid=grid_of(sizes_of(engine)[0], layout.lanes), block=BLOCK)
        self.bound = self._resources.add(engine.bind(layout.images, buffers_of(self.arena, engine.card)))
        self.write("rows", rows)
        self.write("lanes", lanes)

    def __enter__(self) -> "Workbench":
        return self

    def __exit__(self, *_: object) -> None:
        self.stream.sync()
        self._resources.close()

    def write(self, name: str, values: NDArray[Any]) -> None:
        """Copy an array into a device buffer, and wait for the copy."""
        pinned = Pinned(values.shape, values.dtype)
        pinned.array[...] = values
        self.arena.buffer(name, size=values.nbytes).copy_from(pinned.buffer, stream=self.stream)
        self.stream.sync()
        pinned.close()

    def read(self, name: str, shape: tuple[int, ...], dtype: Any = np.float32) -> NDArray[Any]:
        """The content of a device buffer after all queued work."""
        pinned = Pinned(shape, dtype)
        self.arena.buffer(name, size=pinned.array.nbytes).copy_to(pinned.buffer, stream=self.stream)
        self.stream.sync()
        values = pinned.array.copy()
        pinned.close()
        return values

    def launch(self, kernel: str, target: Any = None) -> None:
        """Launch one of the loop's kernels on the stream, or on a graph builder."""
        self._core.launch(target or self.stream, self._config, self._kernels[kernel], *self._arguments)

    def network(self, target: Any = None) -> None:
        """Enqueue one call of the engine on the stream, or on a graph builder."""
        stream = self.stream if target is None else target.stream
        self.bound.enqueue(int(stream.handle))

    def graph(self, enqueue: Enqueue, times: int = 1) -> Any:
        """A graph of `times` repeats of the work of `enqueue`, which must have run once before the capture."""
        builder = self.stream.create_graph_builder()
        builder.begin_building("thread_local")
        try:
            for _ in range(times):
                enqueue(builder)
        finally:
            builder.end_building()
        graph = self._resources.add(builder.complete())
        builder.close()
        graph.upload(self.stream)
        return graph

    def seconds(self, run: Callable[[], object]) -> float:
        """The seconds that the GPU needs for the work that `run` puts on the stream."""
        timed = self._core.EventOptions(timing_enabled=True)
        begin = self.stream.record(options=timed)
        run()
        end = self.stream.record(options=timed)
        end.sync()
        milliseconds = float(end - begin)
        begin.close()
        end.close()
        return max(milliseconds, 1e-6) / 1000  # never 0, so that callers can divide by it
