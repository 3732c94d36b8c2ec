"""Interpolation between two samples of a seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..artifacts.card import ModelCard
from ..denoiser import Batch
from ..engine import ChainInputs
from ..host_loop import Beginning
from ..limits import as_integer
from ..noise import UINT64_END, normal
from ..samplers.schedule import Floats
from .labels import no_class
from .request import BoundRequest, Request


@dataclass(frozen=True, kw_only=True, eq=False)
class Between(Request):
    """`count` frames from sample `start` to sample `end` of `seed`. Sample numbers of this request count frames.

    Raises ValueError for arguments out of range.
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("start", "end"):
            object.__setattr__(self, name, as_integer(name, getattr(self, name)))
        if not (0 <= self.start < UINT64_END and 0 <= self.end < UINT64_END):
            raise ValueError(f"samples must lie in [0, 2^64), not {self.start} and {self.end}")
        if self.first != 0 or self.count < 2:
            raise ValueError(f"interpolation needs at least 2 frames, from 0, not {self.count} from {self.first}")

    def default_label(self, card: ModelCard) -> tuple[int, ...] | None:
        return no_class(card)

    @property
    def is_walk(self) -> bool:
        return True

    @property
    def is_steered(self) -> bool:
        return True

    def chain(self, bound: BoundRequest, samples: Sequence[int]) -> ChainInputs:
        """x_T and the noise of every step are interpolated between those of the two samples."""
        size = int(np.prod(bound.card.image_shape))
        share = np.array(samples)[:, None] / (self.count - 1)

        def noise(step: int) -> Batch:
            start, end = normal(self.seed, [self.start, self.end], step, size).astype(np.float64)
            return slerp(start, end, share).astype(np.float32)

        return ChainInputs(bound.table, bound.sampler.clip, Beginning(scale=bound.sampler.initial_scale), noise)

    def describe(self, model_sha256: str = "") -> dict[str, str]:
        ends = {"ddpm-rt.from": str(self.start), "ddpm-rt.to": str(self.end), "ddpm-rt.frames": str(self.count)}
        return super().describe(model_sha256) | ends


def slerp(start: Floats, end: Floats, share: Floats) -> Floats:
    """Spherical interpolation from `start` to `end` [size] at `share` [N, 1] of the arc: float64 [N, size].

    The length of the noise stays that of a Gaussian along the whole arc.

    Song et al. 2021 (DDIM), appendix D.5. Both ends are exact.
    """
    cosine = start @ end / np.sqrt((start @ start) * (end @ end))
    angle = np.arccos(np.clip(cosine, -1.0, 1.0))
    if np.sin(angle) < 1e-6:  # the two samples are the same
        return start + share * (end - start)
    return np.sin((1.0 - share) * angle) / np.sin(angle) * start + np.sin(share * angle) / np.sin(angle) * end
