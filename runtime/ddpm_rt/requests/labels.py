"""Class labels and classifier-free guidance. They are bound to a denoiser, so the loop does not know them."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.card import ModelCard
from ..denoiser import Batch, Denoiser, LabelledDenoiser, Times
from ..limits import FLOAT32_MAX
from ..text import quoted

Labels = NDArray[np.int64]  # [B]


def as_labels(label: Any) -> tuple[int, ...] | None:
    """One label or several as a tuple of ints. Raises ValueError unless every one is an integer of some type."""
    if label is None:
        return None
    array = np.asarray(label)
    if array.ndim > 1 or (array.size and array.dtype.kind not in "iu"):
        raise ValueError(f"label must be an integer or a sequence of integers, not {quoted(label)}")
    return tuple(map(int, np.atleast_1d(array)))


def every_class(card: ModelCard) -> tuple[int, ...] | None:
    """All classes in order but the null class, of a model that has one; None for any other model.

    A model with a null class was trained to be asked for nothing in particular. A model without one needs a label.
    """
    if card.classes is None or card.null_class is None:
        return None
    return tuple(label for label in range(card.classes) if label != card.null_class)


def no_class(card: ModelCard) -> tuple[int, ...] | None:
    """The null class of a model; None for a model without one."""
    return None if card.null_class is None else (card.null_class,)


def check_labels(card: ModelCard, labels: Sequence[int] | None, guidance: float) -> None:
    """Raises ValueError unless a model with this card takes these labels and this guidance."""
    if not (math.isfinite(guidance) and abs(guidance) <= FLOAT32_MAX):
        raise ValueError(f"guidance must be a finite number of float32, not {guidance}")
    if card.classes is None and (labels is not None or guidance != 1.0):
        raise ValueError("the model is unconditional; leave out label and guidance")
    if card.classes is None:
        return
    known = f"0 to {card.classes - 1}" + ("" if card.null_class is None else f", where {card.null_class} is no class")
    if not labels:
        raise ValueError(f"the model is class-conditional and needs a label: {known}")
    if wrong := [label for label in labels if not 0 <= label < card.classes]:
        raise ValueError(f"label {quoted(wrong[0])} is none of the model's: {known}")
    if guidance != 1.0 and card.null_class is None:
        raise ValueError("guidance needs a model that was trained with a null class, and this one has none")


def with_labels(
    engine: LabelledDenoiser, labels: Labels, *, guidance: float = 1.0, null_class: int | None = None
) -> Denoiser:
    """The denoiser `(x, t) -> out` of a class-conditional engine for images with the labels int64 `[B]`.

    With `guidance` W, out = null + W (labelled - null): Ho and Salimans 2022, eq. (6) with W = 1 + w. One call of twice
    the batch computes both. A learned variance is taken from the labelled half. W = 1 needs no second half.
    """
    if guidance == 1.0:
        return lambda x, t: engine(x, t, labels)
    if null_class is None:
        raise ValueError("guidance needs a null class")
    both = np.concatenate([labels, np.full_like(labels, null_class)])

    def guided(x: Batch, t: Times, /) -> Batch:
        count, channels = x.shape[:2]
        out = engine(np.concatenate([x, x]), np.concatenate([t, t]), both)
        return guided_output(out[:count], out[count:], np.float32(guidance), channels)

    return guided


def guided_output(labelled: Batch, null: Batch, guidance: np.float32 | Batch, channels: int) -> Batch:
    """null + guidance (labelled - null), of the first `channels`; a learned variance is the labelled half's.

    `guidance` is a number, or `[B, 1, 1, 1]` with one for each image.
    """
    null = null[:, :channels]
    mean = null + guidance * (labelled[:, :channels] - null)
    return np.concatenate([mean, labelled[:, channels:]], axis=1)
