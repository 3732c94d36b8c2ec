"""A denoiser in ONNX Runtime, on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np

from .card import METADATA_KEY, ModelCard
from .denoiser import Batch, Times
from .errors import DdpmRtError

INPUTS = {"x": "tensor(float)", "t": "tensor(int64)"}
OUTPUT = "out"


class OrtDenoiser:
    """`out = denoiser(x, t)` for an ONNX file with a card inside.

    x float32 `[B, C, H, W]`, t int64 `[B]`, out float32 like x; any B, a file of static batch being called as often
    as it takes. `threads` are those inside one operation, all cores by default. Raises DdpmRtError when the file is
    not such a model.
    """

    def __init__(self, path: Path | str, *, threads: int | None = None) -> None:
        self.path = Path(path)
        self.session = open_session(self.path, threads)
        text = self.session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise DdpmRtError(f"{self.path} has no model card, so its betas are unknown; make it with `ddpm-rt export`")
        self.card = ModelCard.from_json(text, source=str(self.path))
        self.static_batch = self._check_signature()

    def _check_signature(self) -> int | None:
        """The batch that the graph is fixed to, or None. Raises DdpmRtError when inputs and card disagree."""
        found = {tensor.name: tensor for tensor in self.session.get_inputs()}
        if {name: tensor.type for name, tensor in found.items()} != INPUTS:
            raise DdpmRtError(f"{self.path}: inputs must be x (float32) and t (int64), not {sorted(found)}")
        if [tensor.name for tensor in self.session.get_outputs()] != [OUTPUT]:
            raise DdpmRtError(f"{self.path}: there must be one output, {OUTPUT!r}")
        batch, *image = found["x"].shape
        if tuple(image) != self.card.image_shape:
            raise DdpmRtError(f"{self.path}: x is {image} but the card says {list(self.card.image_shape)}")
        return batch if isinstance(batch, int) else None

    def __call__(self, x: Batch, t: Times) -> Batch:
        if self.static_batch is None or len(x) == self.static_batch:
            return self._run(x, t)
        size, parts = self.static_batch, []
        for first in range(0, len(x), size):
            part, times = x[first : first + size], t[first : first + size]
            short = size - len(part)  # the last call is filled up with copies of its last image
            filled = np.concatenate([part, np.repeat(part[-1:], short, axis=0)])
            parts.append(self._run(filled, np.concatenate([times, np.repeat(times[-1:], short)]))[: len(part)])
        return np.concatenate(parts)

    def _run(self, x: Batch, t: Times) -> Batch:
        out: Batch = self.session.run(None, {"x": x, "t": t})[0]
        return out


def open_session(path: Path, threads: int | None = None) -> Any:
    """An onnxruntime.InferenceSession on the CPU. Raises DdpmRtError when the file is missing or damaged."""
    if not path.is_file():
        raise DdpmRtError(f"{path} is not a file; name an .onnx that `ddpm-rt export` wrote")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what it would log is in the exception as well
    if threads is not None:
        options.intra_op_num_threads = threads
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions share no base class of their own
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DdpmRtError(f"{path} cannot be opened by ONNX Runtime: {reason}") from error
