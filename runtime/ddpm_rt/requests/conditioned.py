"""A denoiser with what its samples are conditioned on bound to it, so that the loop does not know of it."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..denoiser import Batch, Denoiser, LabelledDenoiser, Times, arguments_of
from .inputs import doubled

Labels = NDArray[np.int64]  # [B]


class Conditions(NamedTuple):
    """The labels and named inputs of B samples; `given` makes them arguments of `Engine.__call__`."""

    labels: Labels | None = None  # of a class-conditional model
    inputs: Mapping[str, NDArray[Any]] = {}  # named inputs, each [B, ...]
    prev_x0: str | None = None  # the input that takes the x0 of the step before

    @property
    def are_none(self) -> bool:
        """Whether the network takes x and t alone."""
        return self.labels is None and not self.inputs and self.prev_x0 is None

    def given(self, x0: tuple[Batch, ...]) -> tuple[Any, ...]:
        """The arguments of an engine after x and t."""
        inputs = {**self.inputs, **({} if self.prev_x0 is None else {self.prev_x0: x0[0]})}
        return arguments_of(self.labels, inputs)


def conditioned(
    engine: LabelledDenoiser, conditions: Conditions, *, guidance: float = 1.0, null: Conditions | None = None
) -> Denoiser:
    """The denoiser `(x, t) -> out` of an engine for samples with these conditions.

    With `guidance` W, out = null + W (conditioned - null): Ho and Salimans 2022, eq. (6) with W = 1 + w. One call of
    twice the batch computes both. A learned variance is taken from the conditioned half. W = 1 needs no second half.
    """
    if guidance == 1.0:
        return lambda x, t, *x0: engine(x, t, *conditions.given(x0))
    if null is None:
        raise ValueError("guidance needs a null class, or null inputs")
    both = Conditions(
        None if conditions.labels is None else _concatenated(conditions.labels, null.labels),
        doubled(conditions.inputs, null.inputs),
        conditions.prev_x0,
    )

    def guided(x: Batch, t: Times, /, *x0: Batch) -> Batch:
        count, channels = x.shape[:2]
        twice = tuple(np.concatenate([one, one]) for one in x0)
        out = engine(np.concatenate([x, x]), np.concatenate([t, t]), *both.given(twice))
        return guided_output(out[:count], out[count:], np.float32(guidance), channels)

    return guided


def guided_output(conditioned: Batch, null: Batch, guidance: np.float32 | Batch, channels: int) -> Batch:
    """null + guidance (conditioned - null), of the first `channels`; a learned variance is the conditioned half's.

    `guidance` is a number, or `[B, 1, ...]` with one for each image.
    """
    null = null[:, :channels]
    mean = null + guidance * (conditioned[:, :channels] - null)
    return np.concatenate([mean, conditioned[:, channels:]], axis=1)


def _concatenated(labels: Labels, null: Labels | None) -> Labels:
    return np.concatenate([labels, labels if null is None else null])
