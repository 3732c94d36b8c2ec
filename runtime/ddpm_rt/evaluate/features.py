"""Features of images: by any ONNX network, or pixels averaged over a coarse grid."""

from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..artifacts.digest import file_sha256
from ..engines.ort_cpu import open_session
from ..errors import DdpmRtError

BATCH = 64
GRID = 8  # sides of the coarse grid
FLOAT, BYTES = "tensor(float)", "tensor(uint8)"

Pixels = NDArray[np.uint8]  # [N, H, W, C]
Floats = NDArray[np.float64]


class Features(Protocol):
    """Maps images to features."""

    def __call__(self, pixels: Pixels) -> Floats:
        """Features float64 `[N, D]` of images uint8 `[N, H, W, C]`."""

    def describe(self) -> str: ...


class PooledPixels(Features):
    """The means of pixels over a grid of 8 x 8 cells, in [-1, 1]: a coarse measure that needs no network."""

    def __call__(self, pixels: Pixels) -> Floats:
        rows, columns = (np.linspace(0, side, min(side, GRID) + 1).astype(int)[:-1] for side in pixels.shape[1:3])
        sums = np.add.reduceat(np.add.reduceat(pixels.astype(np.float64), rows, axis=1), columns, axis=2)
        sizes = np.outer(np.diff([*rows, pixels.shape[1]]), np.diff([*columns, pixels.shape[2]]))
        return np.asarray((sums / sizes[:, :, None] / 127.5 - 1.0).reshape(len(pixels), -1), np.float64)

    def describe(self) -> str:
        return f"pixels averaged over {GRID} x {GRID} cells"


class FeatureNetwork(Features):
    """An ONNX network with one input of images `[batch, C, H, W]`, whose first output are the features.

    A float32 input gets bytes / 127.5 - 1, a uint8 input the bytes. Grey images are repeated for three channels. The
    network does its own resizing. Raises DdpmRtError for a file that is not such a network.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.path, self.session = path, open_session(path, threads)
        inputs: list[Any] = self.session.get_inputs()
        if len(inputs) != 1 or len(inputs[0].shape) != 4 or inputs[0].type not in (FLOAT, BYTES):
            found = ", ".join(f"{one.name} {one.type} {one.shape}" for one in inputs)
            raise DdpmRtError(f"{path}: features need one input, float32 or uint8 [batch, C, H, W], not {found}")
        self._name, self._is_float, self._shape = inputs[0].name, inputs[0].type == FLOAT, inputs[0].shape
        self._output = self.session.get_outputs()[0].name

    def __call__(self, pixels: Pixels) -> Floats:
        size = self._shape[0] if isinstance(self._shape[0], int) else BATCH
        parts = []
        for first in range(0, len(pixels), size):
            part = pixels[first : first + size]
            missing = size - len(part) if isinstance(self._shape[0], int) else 0
            padded = np.concatenate([part, np.repeat(part[-1:], missing, axis=0)])
            parts.append(self._run(padded)[: len(part)])
        return np.concatenate(parts)

    def _run(self, pixels: Pixels) -> Floats:
        images = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        if self._shape[1] == 3 and images.shape[1] == 1:
            images = np.repeat(images, 3, axis=1)
        for given, wanted in zip(images.shape[1:], self._shape[1:], strict=True):
            if isinstance(wanted, int) and given != wanted:
                raise DdpmRtError(
                    f"{self.path} takes images {self._shape[1:]}, not {list(images.shape[1:])}; put a Resize into it"
                )
        fed = images.astype(np.float32) / np.float32(127.5) - np.float32(1) if self._is_float else images
        found = np.asarray(self.session.run([self._output], {self._name: fed})[0], np.float64).reshape(len(fed), -1)
        if not np.isfinite(found).all():
            raise DdpmRtError(f"{self.path} gives features that are not finite")
        return found

    def describe(self) -> str:
        return f"{self.path.name}, SHA-256 {file_sha256(self.path)[:12]}"
