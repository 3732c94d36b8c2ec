"""Runs a fused chain in ONNX Runtime on the CPU, as a program without ddpm-rt would."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.fused_chain import FusedChain, input_name, read_fused
from ..denoiser import Inputs
from ..errors import DdpmRtError
from .onnx_signature import INPUT_TYPES
from .ort_cpu import open_session


class FusedRunner:
    """`images = runner(seed, samples, labels, inputs)` for a file that `ddpm-rt fuse` wrote.

    Raises DdpmRtError when the file is not a fused chain, or has other inputs than one.
    """

    def __init__(self, path: Path, *, threads: int | None = None) -> None:
        self.chain: FusedChain = read_fused(path)
        self._session: Any = open_session(path, threads)
        found = {tensor.name: tensor.type for tensor in self._session.get_inputs()}
        card = self.chain.card
        wanted = dict.fromkeys(["seed", "sample", *(["y"] if card.classes else [])], "tensor(int64)")
        wanted |= {input_name(name): INPUT_TYPES[facts.dtype] for name, facts in card.conditions.items()}
        if found != wanted:
            raise DdpmRtError(f"{path}: inputs must be {wanted}, not {found}; fuse it again with `ddpm-rt fuse`")
        batch = next(tensor.shape[0] for tensor in self._session.get_inputs() if tensor.name == "sample")
        self.static_batch: int | None = batch if isinstance(batch, int) else None

    def __call__(
        self, seed: int, samples: Sequence[int], labels: NDArray[np.int64] | None = None, inputs: Inputs | None = None
    ) -> NDArray[Any]:
        """The images of the samples: float32 `[N, C, ...]`, or uint8 `[N, H, W, C]`.

        A class-conditional chain takes labels int64 `[N]`, and one with named inputs takes their values, `[N, ...]`
        each. A graph of fixed batch is called several times, the last time with copies of the last sample.
        """
        numbers = signed(samples)
        more = {input_name(name): value for name, value in (inputs or {}).items()}
        more |= {} if labels is None else {"y": labels}
        size, parts = self.static_batch or len(numbers), []
        for first in range(0, len(numbers), size):
            filled = np.minimum(np.arange(first, first + size), len(numbers) - 1)
            feeds = {"seed": signed([seed]).reshape(()), "sample": numbers[filled]}
            feeds |= {name: value[filled] for name, value in more.items()}
            parts.append(self._session.run(["image"], feeds)[0][: len(numbers) - first])
        return np.concatenate(parts)


def signed(numbers: Sequence[int]) -> NDArray[np.int64]:
    """Seeds or sample numbers of [0, 2^64) as int64 in two's complement, `[N]`."""
    return np.array(numbers, np.uint64).astype(np.int64)
