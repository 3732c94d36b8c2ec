"""Chooses one of several networks in a checkpoint by the name that the user gave. The choice is never guessed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ddpm_ref.errors import CheckpointError
from ddpm_ref.text import quoted

Choice = TypeVar("Choice")
TOP = "."  # the label of a network without a prefix


class Selection:
    """The name from `--weights` or the TOML file, and whether any network had this name."""

    def __init__(self, path: Path, name: str | None) -> None:
        self._path, self._name = path, name
        self._found = name is None
        self._seen: list[str] = []

    def pick(self, options: Mapping[str, Choice], default: str | None = None) -> Choice:
        """The option with the user's name, else the only option, else the option `default`.

        Raises CheckpointError, which lists the names, if there are several options and none of these rules applies.
        """
        named = self.matching(list(options))
        if len(named) == 1:
            return options[named[0]]
        if default is not None and not named:
            return options[default]
        if len(options) == 1:
            return next(iter(options.values()))
        names = shortened(named or list(options))
        wrong = "" if self._found else f", but none is called {quoted(self._name)}"
        raise CheckpointError(
            f"{self._path} contains several networks: {', '.join(names)}{wrong}; choose one with "
            f'--weights {names[-1]}, or weights = "{names[-1]}" in the TOML file'
        )

    def matching(self, labels: Sequence[str]) -> list[str]:
        """The labels that match the name: equal to it, else starting with it, else containing it."""
        short = dict(zip(labels, shortened(labels), strict=True))
        self._seen += [name for name in short.values() if name != TOP]
        if self._name is None:
            return []
        wanted = self._name
        stages: tuple[Callable[[str], bool], ...] = (
            lambda label: wanted in (label, short[label]),
            lambda label: any(f"{text}.".startswith(f"{wanted}.") for text in (label, short[label])),
            lambda label: f".{wanted}." in f".{label}.",
        )
        named = next((found for stage in stages if (found := [label for label in labels if stage(label)])), [])
        self._found = self._found or bool(named)
        return named

    def finish(self) -> None:
        """Raises CheckpointError if no network had the user's name."""
        if not self._found:
            there = ", ".join(dict.fromkeys(self._seen)) or "one network without a name"
            raise CheckpointError(f"{self._path} contains no weights called {quoted(self._name)}, only: {there}")


def shortened(labels: Sequence[str]) -> list[str]:
    """Labels without the dotted parts that all of them share at the start and the end. Each keeps at least one part."""
    parts = [label.split(".") if label != TOP else [TOP] for label in labels]
    for end in (0, -1):
        while len(parts) > 1 and all(len(part) > 1 and part[end] == parts[0][end] for part in parts):
            parts = [part[1:] if end == 0 else part[:-1] for part in parts]
    return [".".join(part) for part in parts]
