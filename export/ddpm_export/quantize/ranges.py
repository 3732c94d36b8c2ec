"""The ranges of activations, from the values that they had while the model drew samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

VALUES = 1 << 17  # of a tensor that are kept; its smallest and largest value are always known
SHARES = np.linspace(1.0, 0.1, 19)  # of the whole range that are tried

Floats = NDArray[np.float32]


class Scheme(NamedTuple):
    """How an activation is quantised."""

    low: int  # the smallest integer
    high: int
    symmetric: bool  # zero point 0


UNSIGNED = Scheme(0, 255, symmetric=False)  # ONNX Runtime on a CPU
SIGNED = Scheme(-127, 127, symmetric=True)  # TensorRT


class Range(NamedTuple):
    """Scale and zero point of an activation: value = scale * (integer - zero_point)."""

    scale: float
    zero_point: int

    def rounded(self, values: Floats, scheme: Scheme) -> Floats:
        """The values that the integers stand for."""
        integers = np.clip(np.rint(values / np.float32(self.scale)) + self.zero_point, scheme.low, scheme.high)
        return np.asarray((integers - self.zero_point) * np.float32(self.scale), np.float32)


@dataclass
class Seen:
    """What is known of the values of one tensor."""

    low: float = 0.0  # a range includes 0
    high: float = 0.0
    values: list[Floats] = field(default_factory=list)
    per_call: int = 512  # values that are kept of a call

    def add(self, values: Floats) -> None:
        """The values of one call."""
        flat = values.reshape(-1)
        self.low, self.high = min(self.low, float(flat.min())), max(self.high, float(flat.max()))
        if len(flat) > self.per_call:  # at random: a stride would meet the same column of every image
            flat = flat[np.random.default_rng(len(self.values)).integers(0, len(flat), self.per_call)]
        self.values.append(flat.copy())

    def merged(self, other: "Seen") -> "Seen":
        """Of two tensors that get one range."""
        return Seen(min(self.low, other.low), max(self.high, other.high), self.values + other.values)


def best_range(seen: Seen, scheme: Scheme) -> Range:
    """The range, a share of the whole one, whose rounding and clipping errors have the least mean.

    A few large values, such as those of the first timesteps, would dominate the mean of squared errors.
    """
    values = np.concatenate(seen.values) if seen.values else np.zeros(1, np.float32)
    ranges = [range_of(seen.low * share, seen.high * share, scheme) for share in SHARES]
    errors = [float(np.mean(np.abs(values - one.rounded(values, scheme)), dtype=np.float64)) for one in ranges]
    return ranges[int(np.argmin(errors))]


def range_of(low: float, high: float, scheme: Scheme) -> Range:
    """The range from `low` <= 0 to `high` >= 0."""
    if scheme.symmetric:
        return Range(max(-low, high, 1e-12) / scheme.high, 0)
    scale = max(high - low, 1e-12) / (scheme.high - scheme.low)
    return Range(scale, int(np.clip(round(scheme.low - low / scale), scheme.low, scheme.high)))


def ranges_of(seen: Mapping[str, Seen], groups: Sequence[Sequence[str]], scheme: Scheme) -> dict[str, Range]:
    """The range of every tensor. Those of a group share one: integers pass between them without a change."""
    shared = {name: group for group in groups for name in group}
    found: dict[str, Range] = {}
    for name in seen:
        if name in found:
            continue
        group = [other for other in shared.get(name, [name]) if other in seen]
        whole = seen[group[0]]
        for other in group[1:]:
            whole = whole.merged(seen[other])
        found |= dict.fromkeys(group, best_range(whole, scheme))
    return found
