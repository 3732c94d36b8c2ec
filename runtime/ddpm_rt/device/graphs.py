"""Steps as CUDA graphs: captured once, launched once per step."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal

from ..collection import uncollected
from .driver import Resources

Mode = Literal["replay", "chunks", "while", "stream"]
EnqueueStep = Callable[..., None]  # (stream or builder, condition of a while graph if there is one): enqueues one step

CHUNK = 16  # steps per graph in mode chunks


class Launcher:
    """Launches steps on a stream.

    replay   launches the graph of one step for every step
    chunks   launches graphs of several steps
    while    launches one graph, which loops on the device until the kernel reports that all lanes are done
    stream   enqueues every step without a graph

    `step` must have run once before: a capture cannot load kernels or allocate.
    """

    def __init__(self, stream: Any, step: EnqueueStep, mode: Mode) -> None:
        self._stream, self._step, self.mode = stream, step, mode
        self._one: Any = None
        self._many: Any = None
        self._resources = Resources()
        if mode == "while":
            self._many = self._uploaded(self._graph_of_all())
        elif mode != "stream":
            self._one = self._uploaded(self._graph_of(1))
        if mode == "chunks":
            self._many = self._uploaded(self._graph_of(CHUNK))

    def _uploaded(self, graph: Any) -> Any:
        self._resources.add(graph).upload(self._stream)
        return graph

    def _graph_of(self, steps: int) -> Any:
        builder = self._stream.create_graph_builder()
        with _building(builder):
            for _ in range(steps):
                self._step(builder)
        return _completed(builder)

    def _graph_of_all(self) -> Any:
        builder = self._stream.create_graph_builder()
        with _building(builder):
            create = (
                getattr(builder, "create_condition", None) or builder.create_conditional_handle
            )  # cuda-core before 1.0
            condition = create(1)
            body = builder.while_loop(condition)
            with _building(body):
                self._step(body, condition)
        return _completed(builder)

    def launch(self, steps: int, *, singly: bool = False) -> int:
        """Launches some of the remaining `steps`, one if `singly`: their number."""
        if self.mode == "while":
            self._many.launch(self._stream)
            return steps
        if self.mode == "chunks" and steps >= CHUNK and not singly:
            self._many.launch(self._stream)
            return CHUNK
        if self._one is None:
            self._step(self._stream)
        else:
            self._one.launch(self._stream)
        return 1

    def close(self) -> None:
        self._resources.close()


@contextmanager
def _building(builder: Any) -> Iterator[None]:
    """Capture into `builder`. A failure inside ends the capture, so the stream stays usable."""
    with uncollected():  # freeing CUDA memory would invalidate a capture
        builder.begin_building("thread_local")
        try:
            yield
        except BaseException:
            for end in (builder.end_building, builder.close):
                with suppress(Exception):  # a broken capture reports its error again when it ends
                    end()
            raise
        builder.end_building()


def _completed(builder: Any) -> Any:
    try:
        return builder.complete()
    finally:
        builder.close()
