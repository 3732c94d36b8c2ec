"""Runs a fused chain in ONNX Runtime on the CPU, as a program without ddpm-rt would."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.fused_chain import FusedChain, read_fused
from ..errors import DdpmRtError
from .ort_cpu import open_session


class FusedRunner:
    """`images = runner(seed, samples, labels)` for a file that `ddpm-rt fuse` wrote.

    Raises DdpmRtError when the file is not a fused chain, or has other inputs than one.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self.chain: FusedChain = read_fused(path)
        self._session: Any = open_session(path, threads)
        found = {tensor.name: tensor.type for tensor in self._session.get_inputs()}
        wanted = dict.fromkeys(["seed", "sample", *(["y"] if self.chain.card.classes else [])], "tensor(int64)")
        if found != wanted:
            raise DdpmRtError(f"{path}: inputs must be {wanted}, not {found}; fuse it again with `ddpm-rt fuse`")
        batch = next(tensor.shape[0] for tensor in self._session.get_inputs() if tensor.name == "sample")
        self.static_batch: int | None = batch if isinstance(batch, int) else None

    def __call__(self, seed: int, samples: Sequence[int], labels: NDArray[np.int64] | None = None) -> NDArray[Any]:
        """The images of the samples: float32 `[N, C, H, W]`, or uint8 `[N, H, W, C]`.

        A class-conditional chain takes labels int64 `[N]`. A graph of fixed batch is called several times, the last
        time with copies of the last sample.
        """
        numbers = signed(samples)
        size, parts = self.static_batch or len(numbers), []
        for first in range(0, len(numbers), size):
            filled = np.minimum(np.arange(first, first + size), len(numbers) - 1)
            inputs = {"seed": signed([seed]).reshape(()), "sample": numbers[filled]}
            if labels is not None:
                inputs["y"] = labels[filled]
            parts.append(self._session.run(["image"], inputs)[0][: len(numbers) - first])
        return np.concatenate(parts)


def signed(numbers: Sequence[int]) -> NDArray[np.int64]:
    """Seeds or sample numbers of [0, 2^64) as int64 in two's complement, `[N]`."""
    return np.array(numbers, np.uint64).astype(np.int64)
