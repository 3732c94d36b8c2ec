"""Checks of values from the JSON of a card or a record."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..limits import FLOAT32_MAX
from ..text import quoted

TEXT = 1_000  # most characters of one string
DIGEST = re.compile(r"[0-9a-f]{64}")  # SHA-256


def require(holds: bool, key: str, wanted: str, found: object) -> None:
    """Raises ValueError, which quotes the start of `found`, unless `holds`."""
    if not holds:
        raise ValueError(f"{key} must be {wanted}, not {quoted(found)}")


def is_text(value: object) -> bool:
    return isinstance(value, str) and len(value) <= TEXT


def is_number(value: object) -> bool:
    """Whether `value` is a finite float, or an int in the range of float64. A bool is not a number."""
    try:
        return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]
    except OverflowError:  # an integer beyond float64
        return False


def is_count(value: object) -> bool:
    """Whether `value` is an int in [0, 2^63)."""
    return type(value) is int and 0 <= value < 2**63


def is_clip(clip: Any) -> bool:
    """Whether `clip` is [low, high] in the range of float32, and low < high after both are rounded to float32."""
    pair = isinstance(clip, tuple | list) and len(clip) == 2 and all(map(is_number, clip))
    if not pair or clip[0] < -FLOAT32_MAX or clip[1] > FLOAT32_MAX:
        return False
    return clip[0] < clip[1] and bool(np.float32(clip[0]) < np.float32(clip[1]))


def is_digest(value: object) -> bool:
    return matches(DIGEST, value)


def matches(pattern: re.Pattern[str], value: object) -> bool:
    """Whether `value` is a string that matches all of `pattern`."""
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def maps(value: object, holds: Callable[[Any], bool], most: int | None = None) -> bool:
    """Whether `value` is a mapping with string keys, at most `most` entries, and values for which `holds` is true."""
    if not isinstance(value, Mapping) or (most is not None and len(value) > most):
        return False
    return all(is_text(key) and holds(entry) for key, entry in value.items())


def check_keys(raw: Any, wanted: set[str], prefix: str) -> None:
    """Raises ValueError, which names a key after `prefix`, unless `raw` is an object with exactly these keys."""
    if not isinstance(raw, dict):
        raise ValueError(f"missing key '{prefix.rstrip('.')}'")
    if wrong := sorted(raw.keys() ^ wanted):
        raise ValueError(f"{'missing' if wrong[0] in wanted else 'unknown'} key {quoted(prefix + wrong[0])}")
