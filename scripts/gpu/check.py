"""A check and its outcome. A check that fails does not stop the others."""

import traceback
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

State = Literal["ok", "FAIL", "missed", "noted", "not run"]  # missed: a time above its target, which is not a failure
Figures = dict[str, float | int | str]

OURS = ("ddpm_rt", "ddpm_ref", "ddpm_export", "gpu")


class Ask(NamedTuple):
    """The arguments of a part."""

    device: Any  # the current cuda.core.Device
    quick: bool = False
    batches: tuple[int, ...] = (1, 16, 64)


class Outcome(NamedTuple):
    state: State
    text: str  # one line
    figures: Figures


class Check(NamedTuple):
    """A check and its outcome: one row of the table."""

    name: str
    state: State
    text: str
    figures: Figures


class NotHereError(Exception):
    """A check cannot run on this machine; the message gives the reason."""


Part = Callable[[Ask], Iterator[Check]]


def held(holds: bool, text: str, **figures: float | int | str) -> Outcome:
    """The outcome of a requirement: ok or FAIL."""
    return Outcome("ok" if holds else "FAIL", text, figures)


def aimed(holds: bool, text: str, **figures: float | int | str) -> Outcome:
    """The outcome of a target time: ok or missed."""
    return Outcome("ok" if holds else "missed", text, figures)


def noted(text: str, **figures: float | int | str) -> Outcome:
    """The outcome of a measurement without a target."""
    return Outcome("noted", text, figures)


def attempt(name: str, run: Callable[[], Outcome]) -> Check:
    """Run a check. An exception becomes FAIL, and a missing package or library becomes "not run"."""
    try:
        return Check(name, *run())
    except Exception as error:
        return _instead(name, error)


def run_part(name: str, part: Part, ask: Ask) -> Iterator[Check]:
    """Yield the checks of a part as they finish, and one more if the part itself raises."""
    try:
        yield from part(ask)
    except Exception as error:
        yield _instead(f"{name} comes to its end", error)


def _instead(name: str, error: Exception) -> Check:
    if isinstance(error, NotHereError):
        return Check(name, "not run", str(error), {})
    if isinstance(error, ImportError) and (error.name or "").split(".")[0] not in OURS:
        return Check(name, "not run", f"{error.name or error} is not installed", {})
    traceback.print_exception(error)  # the table has room for one line only
    return Check(name, "FAIL", one_line(error), {})


def one_line(error: BaseException) -> str:
    """The type of an exception and the first line of its message, at most 240 characters."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}"[:240] if first else type(error).__name__
