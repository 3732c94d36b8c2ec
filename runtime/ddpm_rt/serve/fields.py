"""The fields of a client's request: each by the function that parses its JSON value, or its text in a query.

Every function takes the name of the field and its value, and raises ValueError with a sentence for the client.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from ..denoiser import plain_time
from ..noise import UINT64_END
from ..text import quoted
from .job import parse_priority

INTEGER = re.compile(r"-?[0-9]{1,20}")
NUMBER = re.compile(r"[-+]?[0-9.]{1,40}([eE][-+]?[0-9]{1,4})?")


def parse_integer(key: str, value: Any) -> int:
    """An integer, or its digits: JavaScript rounds numbers from 2^53 up."""
    if isinstance(value, str) and INTEGER.fullmatch(value):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"{key} must be an integer, not {quoted(value)}")


def parse_number(key: str, value: Any) -> float:
    if isinstance(value, str) and NUMBER.fullmatch(value):
        try:
            return float(value)
        except ValueError:
            pass  # such as "1.2.3"
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            pass
    raise ValueError(f"{key} must be a number, not {quoted(value)}")


def parse_integers(key: str, value: Any) -> tuple[int, ...]:
    """A list of integers, one integer, or a comma list of digits."""
    return tuple(parse_integer(key, part) for part in _parts(value))


def _parts(value: Any) -> Sequence[Any]:
    """The entries of a list or a comma list; any other value is a list of one."""
    return value.split(",") if isinstance(value, str) else value if isinstance(value, list) else [value]


def parse_times(key: str, value: Any) -> tuple[int | float, ...]:
    """A list of times, or a comma list: integers, or numbers of a process of continuous times."""
    return tuple(plain_time(parse_number(key, part)) for part in _parts(value))


def parse_text(key: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{key} must be a string, not {quoted(value)}")
    return value


def parse_labels(key: str, value: Any) -> tuple[int, ...] | None:
    """No label at all is every class in turn."""
    return parse_integers(key, value) or None


def parse_uint64(key: str, value: Any) -> int:
    number = parse_integer(key, value)
    if not 0 <= number < UINT64_END:
        raise ValueError(f"{key} must lie in [0, 2^64), not {quoted(value)}")
    return number


def parse_inputs(key: str, value: Any) -> Mapping[str, Any]:
    """Values of the model's conditions, numbers or nested lists, by their names."""
    if not isinstance(value, dict):
        raise ValueError(f"{key} must be an object, not {quoted(value)}")
    return cast("Mapping[str, Any]", value)


FIELDS: dict[str, Callable[[str, Any], Any]] = {
    "seed": parse_uint64,
    "first": parse_uint64,
    "count": parse_integer,
    "sampler": parse_text,
    "steps": parse_integer,
    "eta": parse_number,
    "spacing": parse_text,
    "timesteps": parse_times,
    "dialect": parse_text,
    "table": parse_text,
    "label": parse_labels,
    "guidance": parse_number,
    "inputs": parse_inputs,
    "null_inputs": parse_inputs,
    "priority": lambda key, value: parse_priority(value),
}
