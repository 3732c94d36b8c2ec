"""The results, as a JSON file that grows part by part, and as a table."""

import datetime
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ddpm_rt.artifacts.atomic_write import replace_file

from .check import Check

FORMAT = 1
HEADER = ("part", "state", "check", "what was found")


class Report:
    """The results of one machine, by part.

    Parts are often run by several commands. An existing file is continued if it belongs to the same machine, or if
    either machine is unknown. A file of another machine is replaced.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        before = _read(path)
        self.machine: dict[str, Any] = before.get("machine", {})
        self.parts: dict[str, dict[str, Any]] = before.get("parts", {})
        self._added: set[str] = set()

    def add(self, name: str, machine: dict[str, Any], checks: Sequence[Check], command: str, seconds: float) -> None:
        """Add a part, replacing its earlier run, and write the file."""
        if machine and machine != self.machine:
            if self.machine:
                self.parts = {name: part for name, part in self.parts.items() if name in self._added}
            self.machine = machine
        self._added.add(name)
        self.parts[name] = {
            "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "command": command,
            "seconds": round(seconds, 1),
            "checks": [check._asdict() for check in checks],
        }
        text = json.dumps({"format": FORMAT, "machine": self.machine, "parts": self.parts}, indent=1) + "\n"
        replace_file(self.path, lambda temporary: temporary.write_text(text))

    def rows(self) -> Iterator[tuple[str, Check]]:
        """Every check with the name of its part."""
        for name, part in self.parts.items():
            for check in part["checks"]:
                yield name, Check(**check)

    def summary(self) -> str:
        """The number of checks in each state, as text."""
        counts = Counter(check.state for _, check in self.rows())
        return ", ".join(f"{counts[state]} {state}" for state in ("ok", "FAIL", "missed", "noted", "not run"))


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and found.get("format") == FORMAT else {}


def table(rows: Sequence[tuple[str, Check]]) -> str:
    """The rows as text with a header. All columns but the last are padded to their widest cell."""
    cells = [HEADER, *((part, check.state, check.name, check.text) for part, check in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(3)]
    padded = ([cell.ljust(width) for cell, width in zip(row, (*widths, 0), strict=True)] for row in cells)
    return "\n".join("  ".join(row).rstrip() for row in padded)
