"""A denoiser in ONNX Runtime, on the CPU."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .card import METADATA_KEY, ModelCard
from .denoiser import Batch, Times
from .errors import DdpmRtError
from .onnx_card import read_card

TIME_TYPES = {"tensor(int64)": np.int64, "tensor(int32)": np.int32, "tensor(float)": np.float32}


class OrtDenoiser:
    """`out = denoiser(x, t)` for an ONNX file with a card inside; `denoiser(x, t, y)` if it is class-conditional.

    x float32 `[B, C, H, W]`, t and y int64 `[B]`, out float32 like x, of twice the channels if the variance is learned;
    any B, a file of static batch being called as often as it takes. The graph's own t may be int64, int32 or float32,
    one an image or one for all (rank 0). `threads` are those inside one operation, all cores by default.
    Raises DdpmRtError when the file is not such a model.
    """

    def __init__(self, path: Path | str, *, threads: int | None = None) -> None:
        self.path = Path(path)
        self.session = open_session(self.path, threads)
        text = self.session.get_modelmeta().custom_metadata_map.get(METADATA_KEY)
        if text is None:
            raise DdpmRtError(f"{self.path} has no model card, so its betas are unknown; make it with `ddpm-rt export`")
        self.card = ModelCard.from_json(text, source=str(self.path))
        inputs = {tensor.name: tensor for tensor in self.session.get_inputs()}
        self._check_inputs({name: tensor.type for name, tensor in inputs.items()})
        self.static_batch = self._check_images(inputs[self.card.names["x"]].shape)
        time = inputs[self.card.names["t"]]
        self.time_type, self.one_time = TIME_TYPES[time.type], not time.shape

    def _check_inputs(self, found: dict[str, str]) -> None:
        """Raises DdpmRtError unless the graph's inputs are those that the card names, of types that are known."""
        names = self.card.names
        known = {names["x"]: ["tensor(float)"], names["t"]: list(TIME_TYPES)}
        known |= {names["y"]: ["tensor(int64)"]} if "y" in names else {}
        if found.keys() != known.keys() or any(found[name] not in types for name, types in known.items()):
            y = f", {names['y']} (int64)" if "y" in names else ""
            wanted = f"{names['x']} (float32), {names['t']} (int64, int32 or float32){y}"
            raise DdpmRtError(f"{self.path}: inputs must be {wanted}, not {found}")

    def _check_images(self, shape: list[int | str]) -> int | None:
        """The batch that the graph is fixed to, or None. Raises DdpmRtError when images and card disagree."""
        outputs, output, expected = self.session.get_outputs(), self.card.names["out"], self.card.image_shape
        if [tensor.name for tensor in outputs] != [output]:
            raise DdpmRtError(f"{self.path}: there must be one output, {output!r}")
        batch, *image = shape
        if tuple(image) != expected:
            raise DdpmRtError(f"{self.path}: x is {image} but the card says {list(expected)}")
        channels = expected[0] * (2 if self.card.variance in ("learned", "learned_range") else 1)
        found = outputs[0].shape[1:2]
        if isinstance(found[0] if found else None, int) and found != [channels]:
            variance = self.card.variance
            raise DdpmRtError(
                f"{self.path}: out has {found[0]} channels, but with variance {variance} it has {channels}"
            )
        return batch if isinstance(batch, int) else None

    def __call__(self, x: Batch, t: Times, y: NDArray[np.int64] | None = None, /) -> Batch:
        if self.static_batch is None or len(x) == self.static_batch:
            return self._run(x, t, y)
        size, parts = self.static_batch, []
        for first in range(0, len(x), size):
            # the last call is filled up with copies of the last image
            filled = np.minimum(np.arange(first, first + size), len(x) - 1)
            out = self._run(x[filled], t[filled], None if y is None else y[filled])
            parts.append(out[: len(x) - first])
        return np.concatenate(parts)

    def _run(self, x: Batch, t: Times, y: NDArray[np.int64] | None = None) -> Batch:
        names = self.card.names
        if self.one_time and (t != t[0]).any():
            raise ValueError(f"{self.path} takes one t for all images, not {t.tolist()}")
        times = (t[0] if self.one_time else t).astype(self.time_type, copy=False)
        inputs = {names["x"]: x, names["t"]: np.asarray(times)}
        if y is not None:
            inputs[names["y"]] = y
        out: Batch = self.session.run(None, inputs)[0]
        return out


def open_session(path: Path, threads: int | None = None) -> Any:
    """An onnxruntime.InferenceSession on the CPU. Raises DdpmRtError when the file is missing, damaged, or in bf16."""
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
        card = read_card(path)
        if card is not None and card.precision == "bf16":
            raise DdpmRtError(
                f"{path} is in bf16, in which ONNX Runtime has no convolution on the CPU; export it with --precision "
                "fp16 or fp32 for the CPU, bf16 is for TensorRT plans (`ddpm-rt build`)"
            ) from error
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise DdpmRtError(f"{path} is not a whole ONNX model, or one that ONNX Runtime cannot run: {reason}") from error
