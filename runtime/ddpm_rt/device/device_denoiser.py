"""A device engine as a plain engine, `(x, t) -> out`, for requests that the device loop cannot run."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..denoiser import Batch, Inputs, Times, times_as
from ..engine import Engine, Loop, call_arguments
from ..errors import DdpmRtError
from .device_engine import Bound, DeviceEngine, buffers_of, input_part
from .driver import Arena, Pinned, Resources, cuda_errors


class DeviceDenoiser(Engine):
    """An `Engine` on a device: a call copies x, t and y to the device and the output back, and waits once, at its end.

    Buffers are allocated once per batch size of the engine. `loop` runs whole chains on the device, for requests
    whose steps the host does not steer.
    """

    def __init__(self, engine: DeviceEngine, gpu: Any, loop: Loop | None = None) -> None:
        self.device_engine, self.gpu = engine, gpu
        self.card, self.loop, self.one_time = engine.card, loop, engine.one_time
        self._buffers: dict[int, BatchBuffers] = {}

    def model_sha256(self) -> str:
        return self.device_engine.model_sha256()

    def model_path(self) -> Path | None:
        path: Path | None = getattr(self.device_engine, "path", None)
        return path

    def whole_times(self) -> bool:
        return self.device_engine.time_type.kind in "iu"

    def __call__(
        self, x: Batch, t: Times, y: NDArray[np.int64] | None = None, inputs: Inputs | None = None, /
    ) -> Batch:
        x, t, y, inputs = call_arguments(self.card, x, t, y, inputs)
        if self.device_engine.one_time and (t != t[0]).any():
            raise ValueError(f"the network takes one t for all images, not {t.tolist()}")
        self.gpu.set_current()  # for this thread
        parts, first = [], 0
        while first < len(x):
            size = self.device_engine.batch_for(len(x) - first)
            # the batch is padded with copies of the last image
            chosen = np.minimum(np.arange(first, first + size), len(x) - 1)
            given = {"x": x[chosen], "t": t[chosen]} | ({} if y is None else {"y": y[chosen]})
            given |= {input_part(self.card, name): value[chosen] for name, value in inputs.items()}
            out = self._buffers_for(size).run(given)
            parts.append(out[: len(x) - first])
            first += size
        return np.concatenate(parts)

    def _buffers_for(self, batch: int) -> "BatchBuffers":
        if batch not in self._buffers:
            made = (self.device_engine, self.gpu, batch)
            try:
                self._buffers[batch] = BatchBuffers(*made)
            except DdpmRtError:
                if self.loop is None:
                    raise
                self.loop.close()  # its idle chains may hold the missing memory
                self._buffers[batch] = BatchBuffers(*made)
        return self._buffers[batch]

    def close(self) -> None:
        """Frees the memory and closes the engine."""
        with suppress(Exception):  # a GPU that failed
            self.gpu.set_current()  # for this thread
        if self.loop is not None:
            self.loop.close()
        for buffers in self._buffers.values():
            buffers.close()
        self._buffers.clear()
        self.device_engine.close()


class BatchBuffers:
    """The buffers of one batch size, on the host and on the device."""

    def __init__(self, engine: DeviceEngine, gpu: Any, batch: int) -> None:
        self._engine = engine
        self._resources = Resources()
        try:
            with cuda_errors("the GPU refused"):
                self._stream = self._resources.add(gpu.create_stream())
                self._host = {name: self._resources.add(Pinned(*of)) for name, of in host_arrays(engine, batch).items()}
                sizes = {name: pinned.array.nbytes for name, pinned in self._host.items()}
                sizes |= {"scratch": engine.scratch_bytes(batch)} | ({} if "y" in sizes else {"y": 0})
                self._arena = self._resources.add(Arena(gpu, self._stream, sizes))
                self._bound: Bound = self._resources.add(engine.bind(batch, buffers_of(self._arena, engine.card)))
                for settle in (self._stream.sync, gpu.set_current):  # closed in reverse order
                    self._resources.callback(settle)
                self._stream.sync()
        except BaseException:
            self.close()
            raise

    def run(self, given: dict[str, NDArray[Any]]) -> Batch:
        """One call of the network at this batch size, with the inputs under the names of their buffers."""
        t = times_as(given["t"], self._engine.time_type)
        given["t"] = t[:1] if self._engine.one_time else t
        with cuda_errors("the GPU refused"):
            for name, values in given.items():
                self._host[name].array[...] = values
                self._arena.buffer(name).copy_from(self._host[name].buffer, stream=self._stream)
            self._bound.enqueue(int(self._stream.handle))
            self._arena.buffer("out").copy_to(self._host["out"].buffer, stream=self._stream)
            self._stream.sync()
        out: Batch = self._host["out"].array.copy()
        return out

    def close(self) -> None:
        """Waits for an interrupted call, and frees everything on the GPU."""
        with suppress(DdpmRtError), cuda_errors("the GPU gives nothing back"):
            self._resources.close()


def host_arrays(engine: DeviceEngine, batch: int) -> dict[str, tuple[tuple[int, ...], Any]]:
    """Name to shape and dtype of the network's inputs and its output."""
    card = engine.card
    channels, *sides = card.image_shape
    arrays: dict[str, tuple[tuple[int, ...], Any]] = {"x": ((batch, channels, *sides), np.float32)}
    arrays["t"] = ((1 if engine.one_time else batch,), engine.time_type)
    if "y" in card.names:
        arrays["y"] = ((batch,), np.int64)
    for name, facts in card.inputs.items():
        arrays[input_part(card, name)] = ((batch, *facts.shape), np.dtype(facts.dtype))
    return arrays | {"out": ((batch, card.output_channels, *sides), np.float32)}
