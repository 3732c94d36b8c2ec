"""The decoder of a latent model: an ONNX file beside the model that turns latents into images."""

from pathlib import Path
from typing import Any

import numpy as np

from ..artifacts.card_facts import Latents
from ..artifacts.digest import file_sha256
from ..denoiser import Batch
from ..engine import Engine
from ..errors import DdpmRtError
from .ort_cpu import open_session


class Decoder:
    """`images = decoder(latents)`: float32 `[B, C, ...]` to float32 `[B, 1 or 3, H, W]` in about [-1, 1], on the CPU.

    The graph has one input, which gets x / scale + shift, and one output of a fixed size. Raises DdpmRtError when the
    file is no such model.
    """

    def __init__(self, path: Path, latents: Latents, shape: tuple[int, ...], threads: int | None = None) -> None:
        self.path, self._latents = path, latents
        self._session: Any = open_session(path, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or {inputs[0].type, outputs[0].type} != {"tensor(float)"}:
            raise DdpmRtError(f"{path} is not a decoder: it must have one float32 input and one float32 output")
        if [side for side in inputs[0].shape[1:] if isinstance(side, int)] != list(shape):
            raise DdpmRtError(f"{path} decodes {list(inputs[0].shape)}, but the model draws {['batch', *shape]}")
        _, *sides = outputs[0].shape
        if len(sides) != 3 or not all(isinstance(side, int) for side in sides) or sides[0] not in (1, 3):
            raise DdpmRtError(
                f"{path} gives {list(outputs[0].shape)}; it must be [batch, 1 or 3, H, W] with fixed sides"
            )
        self.image_shape: tuple[int, int, int] = (sides[0], sides[1], sides[2])

    def __call__(self, x: Batch) -> Batch:
        scaled = x / np.float32(self._latents.scale) + np.float32(self._latents.shift)
        images: Batch = self._session.run(None, {self._session.get_inputs()[0].name: scaled})[0]
        if not np.isfinite(images).all():
            raise DdpmRtError(f"{self.path} gave values that are not finite; check the decoder and its scale")
        return images

    def sha256(self) -> str:
        return file_sha256(self.path)


def decoder_of(engine: Engine, threads: int | None = None) -> Decoder | None:
    """The decoder that the card of a model names, which is beside the model's file; None if there is none.

    Raises DdpmRtError when the file is missing, or is not a decoder of this model.
    """
    latents, model = engine.card.latents, engine.model_path()
    if latents is None or latents.decoder is None or model is None:
        return None
    return Decoder(model.parent / latents.decoder, latents, engine.card.image_shape, threads)
