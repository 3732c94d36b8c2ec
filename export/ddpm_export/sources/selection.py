"""Which of several weights is meant, where a checkpoint holds more than one network that fits: never guessed."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ddpm_ref.errors import CheckpointError
from ddpm_ref.text import quoted

Choice = TypeVar("Choice")
TOP = "."  # what the top of a file is called, where the others have a name


class Selection:
    """What the user named, by `--weights` or in the TOML file, and whether anything was called so."""

    def __init__(self, path: Path, name: str | None) -> None:
        self._path, self._name = path, name
        self._found = name is None
        self._seen: list[str] = []

    def pick(self, options: Mapping[str, Choice], default: str | None = None) -> Choice:
        """The one of `options` that was named, else the only one, else that of `default`.

        Raises CheckpointError, which names them all, where there are several and nothing decides.
        """
        named = self.matching(list(options))
        if len(named) == 1:
            return options[named[0]]
        if default is not None and not named:
            return options[default]
        if len(options) == 1:
            return next(iter(options.values()))
        names = shortened(named or list(options))
        wrong = "" if self._found else f", and none is called {quoted(self._name)}"
        raise CheckpointError(
            f"{self._path} holds several networks that fit: {', '.join(names)}{wrong}; say which: "
            f'--weights {names[-1]}, or weights = "{names[-1]}" in the TOML file'
        )

    def matching(self, labels: Sequence[str]) -> list[str]:
        """Those that the name stands for: one of that name, else those that begin with it, else those that have it."""
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
        """Raises CheckpointError if nothing was called as the user said."""
        if not self._found:
            there = ", ".join(dict.fromkeys(self._seen)) or "one network, and it has no name"
            raise CheckpointError(f"{self._path} holds no weights called {quoted(self._name)}; there are: {there}")


def shortened(labels: Sequence[str]) -> list[str]:
    """Labels without the dotted parts at the head and the tail that all of them share; each keeps one part at least."""
    parts = [label.split(".") if label != TOP else [TOP] for label in labels]
    for end in (0, -1):
        while len(parts) > 1 and all(len(part) > 1 and part[end] == parts[0][end] for part in parts):
            parts = [part[1:] if end == 0 else part[:-1] for part in parts]
    return [".".join(part) for part in parts]
