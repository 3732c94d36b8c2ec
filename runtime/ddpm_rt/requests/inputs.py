"""Values of a network's named inputs: what the user gives, and what each sample takes of it."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..artifacts.card import ModelCard
from ..artifacts.card_facts import InputFacts
from ..artifacts.digest import array_sha256
from ..denoiser import Inputs
from ..numbers import as_numbers
from ..text import quoted


class GivenInputs(Mapping[str, NDArray[Any]]):
    """Values by the names of the inputs, read-only. Two are equal if all their numbers are.

    A value is one number or array for all samples, or an array of one entry or several: sample n takes entry n modulo
    their count, so that neither the batch nor the first sample changes anything. Raises ValueError for what is no
    array of finite numbers.
    """

    def __init__(self, values: Mapping[str, Any]) -> None:
        if not isinstance(values, Mapping) or not all(isinstance(name, str) for name in values):
            raise ValueError(f"inputs must be a mapping of names to values, not {quoted(values)}")
        self._values = {name: _as_array(name, value) for name, value in sorted(values.items())}
        self.digests = {name: array_sha256(value) for name, value in self._values.items()}

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GivenInputs) and self.digests == other.digests

    def __hash__(self) -> int:
        return hash(self.describe())

    def describe(self) -> str:
        """Names and hashes as one text; `-` without any."""
        return " ".join(f"{name}={digest[:16]}" for name, digest in self.digests.items()) or "-"

    def entries(self, name: str, facts: InputFacts) -> NDArray[Any]:
        """The value of an input, `[N, *shape]` of its dtype. Raises ValueError unless it fits the model."""
        value, shape = self._values[name], facts.shape
        if value.ndim == 0:
            value = np.broadcast_to(value, (1, *shape))
        elif value.shape == shape:
            value = value[None]
        if value.shape[1:] != shape or value.ndim != len(shape) + 1 or not len(value):
            wanted = f"a number, {list(shape)} or {['N', *shape]}"
            raise ValueError(f"input {name!r} is {list(self._values[name].shape)}, but must be {wanted}")
        with np.errstate(over="ignore", invalid="ignore"):
            cast = value.astype(facts.dtype)
        if facts.dtype != "float32" and (cast != value).any():
            raise ValueError(f"input {name!r} must be of integers that {facts.dtype} can hold")
        if not np.isfinite(cast).all():
            raise ValueError(f"input {name!r} has numbers that float32 cannot hold")
        return np.ascontiguousarray(cast)


NOTHING = GivenInputs({})


def as_inputs(values: Mapping[str, Any] | None) -> GivenInputs:
    """The values of a user as `GivenInputs`. Raises ValueError as that does."""
    return values if isinstance(values, GivenInputs) else GivenInputs({} if values is None else values)


def check_given_inputs(card: ModelCard, given: GivenInputs, null: GivenInputs) -> None:
    """Raises ValueError unless a model with this card takes these values, and is given all that it needs."""
    known = card.conditions
    for name in (*given, *null):
        if name not in known:
            which = f"they are {', '.join(known)}" if known else "it has none"
            raise ValueError(f"the model has no input {quoted(name)} to be given; {which}")
    if missing := [name for name in known if name not in given]:
        facts = known[missing[0]]
        raise ValueError(f"the model needs input {missing[0]!r}, {facts.dtype} {list(facts.shape)} for each sample")
    for values in (given, null):
        for name in values:
            values.entries(name, known[name])


def inputs_of(card: ModelCard, given: GivenInputs, samples: Sequence[int]) -> dict[str, NDArray[Any]]:
    """What these samples take of each value that is given, `[len(samples), *shape]` each."""
    taken = {}
    for name in given:
        entries = given.entries(name, card.inputs[name])
        taken[name] = entries[[sample % len(entries) for sample in samples]]
    return taken


def doubled(values: Inputs, null: Inputs) -> dict[str, NDArray[Any]]:
    """The values of a guided batch: those of all samples, then those of `null` where it has one, else the same."""
    return {name: np.concatenate([value, null.get(name, value)]) for name, value in values.items()}


def _as_array(name: str, value: Any) -> NDArray[Any]:
    array = np.array(as_numbers(f"input {quoted(name)} is", value))  # a copy, which nobody changes afterwards
    if not np.isfinite(array).all():
        raise ValueError(f"input {quoted(name)} must be of finite numbers")
    array.setflags(write=False)
    return array
