"""Class labels, and what they and the guidance scale must be for a model."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..artifacts.card import ModelCard
from ..limits import FLOAT32_MAX
from ..text import quoted


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


def check_labels(
    card: ModelCard, labels: Sequence[int] | None, guidance: float, *, has_null_inputs: bool = False
) -> None:
    """Raises ValueError unless a model with this card takes these labels and this guidance.

    Guidance needs something to be guided away from: a null class, or null inputs.
    """
    if not (math.isfinite(guidance) and abs(guidance) <= FLOAT32_MAX):
        raise ValueError(f"guidance must be a finite number of float32, not {guidance}")
    if card.classes is None and labels is not None:
        raise ValueError("the model is unconditional; leave out label")
    if card.classes is not None:
        _check_each(card, labels)
    if guidance == 1.0 or card.null_class is not None or has_null_inputs:
        return
    if card.conditions:
        raise ValueError("guidance needs the inputs that stand for no condition; give them with --null-input")
    if card.classes is None:
        raise ValueError("the model is unconditional; leave out guidance")
    raise ValueError("guidance needs a model that was trained with a null class, and this one has none")


def _check_each(card: ModelCard, labels: Sequence[int] | None) -> None:
    """Raises ValueError unless a class-conditional model has every label, and there is one."""
    assert card.classes is not None
    known = f"0 to {card.classes - 1}" + ("" if card.null_class is None else f", where {card.null_class} is no class")
    if not labels:
        raise ValueError(f"the model is class-conditional and needs a label: {known}")
    if wrong := [label for label in labels if not 0 <= label < card.classes]:
        raise ValueError(f"label {quoted(wrong[0])} is none of the model's: {known}")
