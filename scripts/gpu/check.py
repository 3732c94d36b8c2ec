"""A check and what came of it; none that fails ends the others."""

import traceback
from collections.abc import Callable, Iterator
from typing import Any, Literal, NamedTuple

State = Literal["ok", "FAIL", "missed", "noted", "not run"]  # missed: an aim for a time, which is no fault
Figures = dict[str, float | int | str]

OURS = ("ddpm_rt", "ddpm_ref", "ddpm_export", "gpu")


class Ask(NamedTuple):
    """What a part is asked for."""

    device: Any  # a cuda.core.Device that is current
    quick: bool = False
    batches: tuple[int, ...] = (1, 16, 64)


class Outcome(NamedTuple):
    state: State
    text: str  # one line
    figures: Figures


class Check(NamedTuple):
    """A row of the table."""

    name: str
    state: State
    text: str
    figures: Figures


class NotHereError(Exception):
    """Why something cannot be run on this machine."""


Part = Callable[[Ask], Iterator[Check]]


def held(holds: bool, text: str, **figures: float | int | str) -> Outcome:
    """Of what must hold."""
    return Outcome("ok" if holds else "FAIL", text, figures)


def aimed(holds: bool, text: str, **figures: float | int | str) -> Outcome:
    """Of a time that ought to be reached."""
    return Outcome("ok" if holds else "missed", text, figures)


def noted(text: str, **figures: float | int | str) -> Outcome:
    """Of what is neither right nor wrong."""
    return Outcome("noted", text, figures)


def attempt(name: str, run: Callable[[], Outcome]) -> Check:
    """The check of this name, also if it raises, or cannot be run here."""
    try:
        return Check(name, *run())
    except Exception as error:
        return _instead(name, error)


def run_part(name: str, part: Part, ask: Ask) -> Iterator[Check]:
    """Its checks as they are done, and one more if it breaks off."""
    try:
        yield from part(ask)
    except Exception as error:
        yield _instead(f"{name} comes to its end", error)


def _instead(name: str, error: Exception) -> Check:
    if isinstance(error, NotHereError):
        return Check(name, "not run", str(error), {})
    if isinstance(error, ImportError) and (error.name or "").split(".")[0] not in OURS:
        return Check(name, "not run", f"{error.name or error} is not installed", {})
    traceback.print_exception(error)  # the table has one line of it
    return Check(name, "FAIL", one_line(error), {})


def one_line(error: BaseException) -> str:
    """What an exception says, shortly."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {first}"[:240] if first else type(error).__name__
