"""The CPU engine: an ONNX file in ONNX Runtime."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.digest import file_sha256
from ..artifacts.onnx_card import check_file, find_onnx_card, read_onnx_card
from ..denoiser import Batch, Inputs, Times, times_as
from ..engine import Engine, call_arguments
from ..errors import DdpmRtError
from .cpu_threads import default_threads
from .onnx_runtime import not_a_model, onnx_runtime
from .onnx_signature import read_signature


class OrtDenoiser(Engine):
    """`out = denoiser(x, t)` for an ONNX file with a card inside; `denoiser(x, t, y)` if it is class-conditional.

    x float32 `[B, C, ...]`, t int64 or float64 and y int64 `[B]`, out float32 like x, with twice the channels if the
    variance is learned; named inputs as the fourth argument, `denoiser(x, t, y, inputs)`. B may be any number: a graph
    of fixed batch is called several times. t in the graph may be int64, int32 or float32, `[B]`, `[1]` or a
    scalar. `threads` are those inside one operation; the default is every core that this process may use.
    Raises DdpmRtError when the file is not such a model.
    """

    def __init__(self, path: Path | str, *, threads: int | None = None) -> None:
        self.path = Path(path)
        card = read_onnx_card(self.path)  # within limits, before a library reads the file
        self.session = open_session(self.path, threads)
        known = read_signature(self.session, self.path, card)
        self.card, self.static_batch = known.card, known.static_batch
        self._outputs = [self.card.names["out"]]
        self.time_type, self.one_time, self._time_shape = known.time_type, known.one_time, known.time_shape
        self._whole_times = known.whole_times

    def model_sha256(self) -> str:
        return file_sha256(self.path)

    def model_path(self) -> Path | None:
        return self.path

    def whole_times(self) -> bool:
        return self._whole_times

    def __call__(
        self, x: Batch, t: Times, y: NDArray[np.int64] | None = None, inputs: Inputs | None = None, /
    ) -> Batch:
        x, t, y, inputs = call_arguments(self.card, x, t, y, inputs)
        if self.static_batch is None or len(x) == self.static_batch:
            return self._run(x, t, y, inputs)
        size, parts = self.static_batch, []
        for first in range(0, len(x), size):
            # the last call is padded with copies of the last image
            filled = np.minimum(np.arange(first, first + size), len(x) - 1)
            more = {name: value[filled] for name, value in inputs.items()}
            out = self._run(x[filled], t[filled], None if y is None else y[filled], more)
            parts.append(out[: len(x) - first])
        return np.concatenate(parts)

    def prepared(
        self, x: Batch, t: Times, y: NDArray[np.int64] | None = None, inputs: Inputs | None = None
    ) -> Callable[[], object]:
        """A call on these inputs that runs the network alone, for measurements; the inputs are checked now."""
        if self.static_batch not in (None, len(x)):
            return lambda: self(x, t, y, inputs)
        session, feeds = self.session, self._feeds(x, t, y, inputs or {})
        return lambda: session.run(None, feeds)

    def _run(self, x: Batch, t: Times, y: NDArray[np.int64] | None, more: Inputs) -> Batch:
        feeds = self._feeds(x, t, y, more)
        out: Batch = self.session.run(self._outputs, feeds)[0]
        return out

    def _feeds(self, x: Batch, t: Times, y: NDArray[np.int64] | None, more: Inputs) -> dict[str, Any]:
        """The session's inputs by name. Raises ValueError for a closed engine, and for times that it cannot take."""
        if self.session is None:
            raise ValueError(f"{self.path} has been closed")
        names = self.card.names
        if self.one_time and (t != t[0]).any():
            raise ValueError(f"{self.path} takes one t for all images, not {t.tolist()}")
        times = times_as(t, self.time_type)
        times = times if self._time_shape is None else times[:1].reshape(self._time_shape)
        feeds = {names["x"]: x, names["t"]: times, **more}
        if y is not None:
            feeds[names["y"]] = y
        return feeds

    def close(self) -> None:
        self.session = None


def open_session(path: Path, threads: int | None = None, *, optimised: Path | None = None) -> Any:
    """An onnxruntime.InferenceSession on the CPU, which writes the graph that it runs to `optimised`, if that is given.

    Raises DdpmRtError when the file is missing, damaged, or in bf16.
    """
    check_file(path)
    onnxruntime = onnx_runtime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # the exception holds what the log would
    threads = default_threads() if threads is None else threads
    if threads is not None:
        options.intra_op_num_threads = threads
    if optimised is not None:
        options.optimized_model_filepath = str(optimised)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class of their own
        card = find_onnx_card(path)
        if card is not None and card.precision == "bf16":
            raise bf16_on_cpu(path) from error
        raise not_a_model(path, error) from error


def bf16_on_cpu(path: Path) -> DdpmRtError:
    """The error for a bf16 file where only the CPU could run it."""
    return DdpmRtError(
        f"{path} is in bf16, in which ONNX Runtime has no convolution on the CPU; export it with --precision fp16 or "
        "fp32 for the CPU, or build a TensorRT plan from it (`ddpm-rt build`)"
    )
