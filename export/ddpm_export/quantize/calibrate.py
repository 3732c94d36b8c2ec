"""Run the float model's own chains, and see the values of its activations on the way."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from ddpm_rt.denoiser import Batch, Inputs, Times
from ddpm_rt.engines.ort_cpu import OrtDenoiser, open_session
from ddpm_rt.requests.request import BoundRequest

from .ranges import VALUES, Seen

PROBES = 8  # calls, evenly over a chain, that errors of layers are measured on


class Probe(NamedTuple):
    """The inputs of a call of one image, and the float model's output."""

    x: Batch
    t: Times
    y: NDArray[np.int64] | None
    inputs: dict[str, NDArray[Any]]  # of a network with named inputs
    out: Batch


class Watched(OrtDenoiser):
    """The float model at `path`, which notes the values of some tensors at every call."""

    def __init__(self, path: Path, model: onnx.ModelProto, names: Sequence[str], *, threads: int | None) -> None:
        super().__init__(path, threads=threads)
        self.seen = {name: Seen() for name in names}
        self.probes: list[Probe] = []
        watched = path.with_name("watched.onnx")
        onnx.save(with_outputs(model, names), watched)
        self.session = open_session(watched, threads)
        watched.unlink()
        self._kept, self._calls = set[int](), 0

    def expect(self, calls: int, probes: Sequence[int]) -> None:
        """Prepare for so many calls, and keep probes of those with these numbers."""
        self._kept, self._calls = set(probes), 0
        for seen in self.seen.values():
            seen.per_call = max(1, VALUES // calls)

    def _run(self, x: Batch, t: Times, y: NDArray[np.int64] | None, more: Inputs) -> Batch:
        out: Batch
        out, *values = self.session.run(None, self._feeds(x, t, y, more))
        for seen, value in zip(self.seen.values(), values, strict=True):
            seen.add(value)
        if self._calls in self._kept:
            label = None if y is None else y[:1].copy()
            inputs = {name: value[:1].copy() for name, value in more.items()}
            self.probes.append(Probe(x[:1].copy(), t[:1].copy(), label, inputs, out[:1].copy()))
        self._calls += 1
        return out


def with_outputs(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A copy of the model that also gives the float tensors `names`."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    there = {value.name for value in copy.graph.output}
    copy.graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in names if name not in there
    )
    return copy


def calibrate(engine: Watched, bound: BoundRequest, called: Callable[[], object] = lambda: None) -> None:
    """Draw the samples of `bound`; `engine` keeps the values, and probes from the first batch."""
    rows = bound.table.steps
    calls = bound.calls_for(bound.request.samples)
    engine.expect(calls, np.unique(np.linspace(0, rows - 1, PROBES).round().astype(int)).tolist())
    for portion in bound.batches(bound.request.samples):
        for _ in bound.trajectory(engine, portion):
            called()
